"""Every error that knockguard raises on purpose.

    KnockguardError
    ├── ConfigError                 a setting, an option or a file of settings
    ├── BundleError                 what is deployed is missing, altered or too new
    ├── FitError                    a detector cannot be fitted on what was given
    ├── CalibrationError            a threshold that the data cannot support
    ├── ExportError                 a model cannot become what is served
    │   ├── ParityError             ... its answers changed on the way
    │   └── GraphError              ... its graph is not one that we can read
    ├── RequestError                the caller can mend it
    │   ├── InvalidInputError
    │   ├── ModelNotFoundError
    │   ├── UnauthenticatedError
    │   ├── PermissionDeniedError
    │   ├── UnimplementedError
    │   └── QuotaExceededError      carries `retry_after_s`
    ├── UnavailableError            the caller can try again; may carry `retry_after_s`
    │   ├── BackendError
    │   ├── StoreError
    │   └── NotLoadedError
    └── DeadlineError               the caller stopped waiting

A message names the value, the limit and the fix. It never holds a secret, a path of the server or a stack trace when it
can reach a client. Nothing here knows of transports: `grpc_api.statuses` maps classes to gRPC, `knockguard.exits` to
exit codes, and a test walks this tree for gaps in both.
"""


class KnockguardError(Exception):
    """The root: catch this to catch all that knockguard raises on purpose."""


class ConfigError(KnockguardError):
    """A setting is unknown, missing, out of its range or contradicts another."""


class BundleError(KnockguardError):
    """A bundle is missing, incomplete, altered, or of a format that this version does not read."""


class FitError(KnockguardError):
    """A detector cannot be fitted on the images or features that were given."""


class CalibrationError(KnockguardError):
    """A threshold was asked for that the calibration scores cannot support."""


class ExportError(KnockguardError):
    """A model cannot be turned into something that is served."""


class ParityError(ExportError):
    """An exported graph answers otherwise than the model it was made from."""


class GraphError(ExportError):
    """A file is no ONNX graph, or one whose taps, outputs or operators we cannot use."""


class RequestError(KnockguardError):
    """A query that cannot be answered as it was sent; the caller can mend it."""


class InvalidInputError(RequestError):
    """Wrong name, shape, dtype, byte count, value or encoding."""


class ModelNotFoundError(RequestError):
    """No model, or no version of it, goes by that name."""


class UnauthenticatedError(RequestError):
    """No credentials, or wrong ones."""


class PermissionDeniedError(RequestError):
    """Credentials are good, and what was asked for is not allowed."""


class UnimplementedError(RequestError):
    """A call that the guard does not guard, and therefore does not pass on."""


class QuotaExceededError(RequestError):
    """Over a limit in rate, count or queue length; try again after `retry_after_s` seconds.

    `subject` is whose limit it is, such as "tenant:shop"; None where it is everybody's.
    """

    def __init__(self, message: str, *, retry_after_s: float, subject: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.subject = subject


class UnavailableError(KnockguardError):
    """Something that the answer depends on is not there now; try again after `retry_after_s` seconds, where that is known."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BackendError(UnavailableError):
    """The model itself did not answer."""


class StoreError(UnavailableError):
    """What keeps counts of clients did not answer."""


class NotLoadedError(UnavailableError):
    """The model is known and not ready."""


class DeadlineError(KnockguardError):
    """The caller's deadline passed before its answer was ready."""
