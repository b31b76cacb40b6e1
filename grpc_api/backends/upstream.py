"""One model of another V2 server, over one connection: asked, and its failures counted and told in our own errors.

What an upstream says of its failures stays in our log: it may hold paths, addresses, or what the guard keeps to itself.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import grpc
import structlog

from grpc_api.converters import encode_input
from grpc_api.dependency import Dependency, Fault
from grpc_api.failing import FailingSettings
from grpc_api.statuses import error_of
from grpc_api.stubs import knockguard_inference_pb2 as pb
from grpc_api.waiting import Waiting
from guard.errors import (
    BackendError,
    ConfigError,
    DeadlineError,
    InvalidInputError,
    KnockguardError,
    NotLoadedError,
    QuotaExceededError,
)
from guard.types import Floats

log = structlog.get_logger()
Code = grpc.StatusCode
Trailers: TypeAlias = Sequence[tuple[str, str | bytes]]
T = TypeVar("T")

SERVICE = "inference.GRPCInferenceService"
_MAX_METADATA_BYTES = 16 << 10  # of headers and of trailers: what is longer fails the call, and is never held
_PROBE_TIMEOUT_S = 2.0
_FAILING = FailingSettings()
_MAX_RETRY_S = 30.0
_MAX_LOGGED = 300  # characters
_BESIDE_ROWS_BYTES = 64 << 10  # of a message: names, shapes and framing
# gRPC's own words in C++ and Go, and in Java: too large for ever has the status of too busy for now.
_TOO_LARGE = re.compile("message larger than max|message exceeds maximum size", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model is: host:port, its name and version there, seconds that a call may take, and who vouches for the host.

    Without `ca_file` the connection is not encrypted: only for a network that nobody else is on.
    """

    target: str
    model: str
    version: str = ""
    timeout_s: float = 10.0
    ca_file: Path | None = None
    max_message_bytes: int = 64 << 20
    max_rows: int = 0  # of one request there; 0 is as many as a message holds


class Upstream:
    """Asks one model; every call may come from any thread."""

    def __init__(self, address: Address, failing: FailingSettings = _FAILING) -> None:
        """Open the connection, which nobody needs to answer yet; ConfigError if `ca_file` cannot be read."""
        self._address = address
        self._channel = _channel(address)
        self._infer = self._method("ModelInfer", pb.ModelInferRequest, pb.ModelInferResponse)
        self._model_ready = self._method("ModelReady", pb.ModelReadyRequest, pb.ModelReadyResponse)
        self.health = Dependency("upstream", failing.patience, upstream=address.target, model=address.model)

    def infer(
        self,
        image: tuple[str, Floats],
        outputs: Sequence[str],
        read: Callable[[pb.ModelInferResponse], T],
        *,
        waiting: Waiting | None = None,
        ticket: int | None = None,
    ) -> T:
        """Return what `read` makes of the response to a named input (n, ...) and to these wishes.

        The upstream gets the shorter of the caller's time and its own. DeadlineError if the caller's was too short, or the caller
        left, which calls it off there as well; else BackendError, NotLoadedError, QuotaExceededError or InvalidInputError. What
        `read` refuses is garbage. All is told to `health`, under the caller's ticket; a probe has none, and judges for itself.
        """
        request = pb.ModelInferRequest(model_name=self._address.model, model_version=self._address.version)
        encode_input(request, *image)
        for name in outputs:  # and nothing else that it may have
            request.outputs.add(name=name)
        waiting = waiting or Waiting()
        own, left_s = self._address.timeout_s, waiting.left_s
        callers = left_s is not None and left_s < own
        try:
            call = self._infer.future(request, timeout=left_s if callers else own)
            with waiting.calling_off(call.cancel):
                response = call.result()
        except grpc.FutureCancelledError:  # here; an upstream's CANCELLED is an RpcError
            self.health.suspect()  # as a deadline does: it is how clients leave whom a silent model keeps waiting
            raise DeadlineError("the caller left before the model answered") from None
        except grpc.RpcError as error:
            raise self._told(error, ticket, callers=callers) from None
        try:
            found = read(response)
        except (InvalidInputError, BackendError) as error:
            reason = str(error)[:_MAX_LOGGED]
            self.health.failed(Fault.GARBAGE, ticket, reason)
            log.error("upstream_garbage", upstream=self._address.target, reason=reason)
            raise BackendError(str(error) if isinstance(error, BackendError) else "the model's answer cannot be read") from None
        if ticket is not None:
            self.health.succeeded(ticket)
        return found

    def rows_at_once(self, row_bytes: int) -> int:
        """Return how many rows of this size one request may hold, at least one."""
        fitting = max(1, (self._address.max_message_bytes - _BESIDE_ROWS_BYTES) // row_bytes)
        return min(self._address.max_rows or fitting, fitting)

    def why_not(self) -> str | None:
        """Return None if the model is ready, else what is the matter."""
        request = pb.ModelReadyRequest(name=self._address.model, version=self._address.version)
        try:
            return None if self._model_ready(request, timeout=_PROBE_TIMEOUT_S).ready else "its model is not ready"
        except grpc.RpcError as error:
            return f"{error.code().name}: {(error.details() or '')[:_MAX_LOGGED]}"

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _method(self, name: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

    def _told(self, error: grpc.RpcError, ticket: int | None, *, callers: bool) -> KnockguardError:
        code = error.code()
        if code is Code.DEADLINE_EXCEEDED and callers:
            self.health.suspect()
            return DeadlineError("the deadline passed before the model answered; allow more time or ask less at once")
        details = (error.details() or "")[:_MAX_LOGGED]
        log.warning("upstream_failed", upstream=self._address.target, code=code.name, details=details)
        too_large = code is Code.RESOURCE_EXHAUSTED and _TOO_LARGE.search(details)
        if too_large or code is Code.INVALID_ARGUMENT:
            self.health.suspect()
            return InvalidInputError(
                "the request is too large for the model; send fewer rows at once"
                if too_large
                else "the model does not take this input"
            )
        if code is Code.RESOURCE_EXHAUSTED:
            told = error_of(code, "", cast("Trailers", error.trailing_metadata() or ()))
            wait_s = min(max(told.retry_after_s, 0.0), _MAX_RETRY_S) if isinstance(told, QuotaExceededError) else 1.0
            return QuotaExceededError("the model has too much to do; try again shortly", retry_after_s=wait_s)
        is_late = code is Code.DEADLINE_EXCEEDED
        self.health.failed(Fault.TIMEOUT if is_late else Fault.ERROR, ticket, f"{code.name}: {details}")
        if code in (Code.UNAVAILABLE, Code.NOT_FOUND, Code.CANCELLED):
            return NotLoadedError("the model is not there now; try again shortly")
        if is_late:
            return BackendError(f"the model did not answer within {self._address.timeout_s:g} s")
        return BackendError("the model failed to answer")


def _channel(address: Address) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", address.max_message_bytes),
        ("grpc.max_send_message_length", address.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),  # a variable of the environment must not send queries elsewhere
        ("grpc.enable_retries", 0),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if address.ca_file is None:
        return grpc.insecure_channel(address.target, options=options)
    try:
        roots = address.ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the upstream's CA file {address.ca_file}: {error.strerror}") from None
    return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(roots), options=options)
