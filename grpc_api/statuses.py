"""Errors -> gRPC statuses, and back: the one table. What is not in it is INTERNAL with an id, never a trace or a path."""

import math
from collections.abc import Iterable

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from guard.errors import (
    BackendError,
    BundleError,
    CalibrationError,
    ConfigError,
    DeadlineError,
    ExportError,
    FitError,
    InvalidInputError,
    KnockguardError,
    ModelNotFoundError,
    NotLoadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RequestError,
    StoreError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)

Code = grpc.StatusCode
STATUSES: dict[type[KnockguardError], grpc.StatusCode] = {
    InvalidInputError: Code.INVALID_ARGUMENT,
    ModelNotFoundError: Code.NOT_FOUND,
    UnauthenticatedError: Code.UNAUTHENTICATED,
    PermissionDeniedError: Code.PERMISSION_DENIED,
    UnimplementedError: Code.UNIMPLEMENTED,
    QuotaExceededError: Code.RESOURCE_EXHAUSTED,
    RequestError: Code.INVALID_ARGUMENT,
    BackendError: Code.UNAVAILABLE,
    StoreError: Code.UNAVAILABLE,
    NotLoadedError: Code.UNAVAILABLE,
    UnavailableError: Code.UNAVAILABLE,
    DeadlineError: Code.DEADLINE_EXCEEDED,
}
# These concern the one who runs the gateway: their messages hold paths, so clients get an id instead.
OURS: tuple[type[KnockguardError], ...] = (ConfigError, BundleError, FitError, CalibrationError, ExportError)

DETAILS = "grpc-status-details-bin"
_MAX_TOLD = 500  # characters
_RETRY_AFTER_S = 1.0  # where a server does not say


def status_of(error: BaseException) -> grpc.StatusCode:
    """Return the status of an error that a client may read, INTERNAL for everything else."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), Code.INTERNAL)


def told(error: BaseException) -> str:
    """Return an error's message as a client gets it: names that it made up are repeated only so far.

    gRPC carries messages in trailers, each byte outside ASCII as three, and a client drops a call whose trailers pass 8 KiB.
    """
    text = str(error)
    return text if len(text) <= _MAX_TOLD else f"{text[: _MAX_TOLD // 2]} ... {text[-_MAX_TOLD // 2 :]}"


def retry_metadata(error: KnockguardError) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that tells a client when to try again (google.rpc.RetryInfo), none where nobody knows.

    Whoever is over a limit of their own is told so as well (google.rpc.QuotaFailure).
    """
    if not isinstance(error, QuotaExceededError | UnavailableError) or error.retry_after_s is None:
        return ()
    seconds = math.floor(error.retry_after_s)
    info = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=int((error.retry_after_s - seconds) * 1e9)))
    status = Status(code=status_of(error).value[0], message=told(error))
    status.details.add().Pack(info)
    if isinstance(error, QuotaExceededError) and error.subject is not None:
        violation = QuotaFailure.Violation(subject=error.subject, description=told(error))
        status.details.add().Pack(QuotaFailure(violations=[violation]))
    return ((DETAILS, status.SerializeToString()),)


def error_of(code: grpc.StatusCode, message: str, trailers: Iterable[tuple[str, str | bytes]] = ()) -> KnockguardError:
    """Return the error that a client raises for a status, so that callers need not know gRPC."""
    if code is Code.RESOURCE_EXHAUSTED:
        retry_after_s = _retry_after_s(trailers)
        return QuotaExceededError(message, retry_after_s=_RETRY_AFTER_S if retry_after_s is None else retry_after_s)
    if code is Code.UNAVAILABLE:
        return BackendError(message, retry_after_s=_retry_after_s(trailers))
    kinds = {status: kind for kind, status in reversed(STATUSES.items())}
    return kinds.get(code, BackendError)(f"{message} ({code.name})" if code not in kinds else message)


def _retry_after_s(trailers: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Return the seconds of the RetryInfo in a call's trailing metadata, None without one."""
    info = RetryInfo()
    for name, value in trailers:
        if name != DETAILS or isinstance(value, str):
            continue
        try:
            if any(detail.Unpack(info) for detail in Status.FromString(value).details):
                return float(info.retry_delay.ToTimedelta().total_seconds())
        except DecodeError:
            break
    return None
