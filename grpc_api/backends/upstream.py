"""One model of another V2 server, over one connection: asked, watched, and its failures told in our own errors.

What an upstream says of its failures stays in our log: it may hold paths, addresses, or what the guard keeps to itself.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import grpc
import structlog

from grpc_api.converters import decode_outputs, encode_input
from grpc_api.statuses import error_of
from grpc_api.stubs import knockguard_inference_pb2 as pb
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

SERVICE = "inference.GRPCInferenceService"
_MAX_METADATA_BYTES = 16 << 10  # of headers and of trailers: what is longer fails the call, and is never held
_PROBE_TIMEOUT_S = 2.0
_PROBE_EVERY_S = 1.0
_MAX_RETRY_S = 30.0
_MAX_LOGGED = 300  # characters


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


class Upstream:
    """Asks one model; every call may come from any thread. `ready` is what was found last."""

    def __init__(self, address: Address) -> None:
        """Open the connection, which nobody needs to answer yet; ConfigError if `ca_file` cannot be read."""
        self._address = address
        self._channel = _channel(address)
        self._infer = self._method("ModelInfer", pb.ModelInferRequest, pb.ModelInferResponse)
        self._model_ready = self._method("ModelReady", pb.ModelReadyRequest, pb.ModelReadyResponse)
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None
        self.ready = False
        self._reason: str | None = ""  # nothing was found yet

    def infer(self, input_name: str, inputs: Floats, outputs: Sequence[str], *, timeout_s: float | None = None) -> list[Floats]:
        """Return the named outputs for (n, ...) inputs, each float32, in this order.

        The upstream gets the shorter of `timeout_s`, which is the caller's, and its own. DeadlineError if the caller's was too
        short; else BackendError, NotLoadedError, QuotaExceededError or InvalidInputError.
        """
        request = pb.ModelInferRequest(model_name=self._address.model, model_version=self._address.version)
        encode_input(request, input_name, inputs)
        for name in outputs:  # and nothing else that it may have
            request.outputs.add(name=name)
        own = self._address.timeout_s
        callers = timeout_s is not None and timeout_s < own
        try:
            response = self._infer(request, timeout=timeout_s if callers else own)
        except grpc.RpcError as error:
            raise self._told(error, callers=callers) from None
        try:
            return decode_outputs(response, outputs)
        except InvalidInputError as error:
            log.error("upstream_garbage", upstream=self._address.target, reason=str(error)[:_MAX_LOGGED])
            raise BackendError("the model's answer cannot be read") from None

    def refresh(self, check: Callable[[], None]) -> None:
        """Ask whether the model is ready, and keep the answer as `ready`; one that came back must pass `check`."""
        reason = self._why_not()
        try:
            if reason is None and not self.ready:
                check()
        except KnockguardError as error:
            self._settle(str(error))
            raise
        self._settle(reason)

    def watch(self, check: Callable[[], None]) -> None:
        """Refresh from now on, every second, in a thread."""
        self._watcher = threading.Thread(target=self._watch, args=(check,), name="upstream", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop watching and hang up."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        self._channel.close()

    def _watch(self, check: Callable[[], None]) -> None:
        while not self._stop.wait(_PROBE_EVERY_S):
            with suppress(KnockguardError):  # it is kept, and logged
                self.refresh(check)

    def _why_not(self) -> str | None:
        """Return None if the model is ready, else what is the matter."""
        request = pb.ModelReadyRequest(name=self._address.model, version=self._address.version)
        try:
            return None if self._model_ready(request, timeout=_PROBE_TIMEOUT_S).ready else "its model is not ready"
        except grpc.RpcError as error:
            return f"{error.code().name}: {(error.details() or '')[:_MAX_LOGGED]}"

    def _settle(self, reason: str | None) -> None:
        """Keep what was found; say so once."""
        self.ready = reason is None
        if reason != self._reason:
            told = {"upstream": self._address.target, "model": self._address.model}
            if reason is None:
                log.info("upstream_ready", **told)
            else:
                log.error("upstream_lost", **told, reason=reason)
        self._reason = reason

    def _method(self, name: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

    def _told(self, error: grpc.RpcError, *, callers: bool) -> KnockguardError:
        code = error.code()
        if code is Code.DEADLINE_EXCEEDED and callers:
            return DeadlineError("the deadline passed before the model answered; allow more time or ask less at once")
        log.warning(
            "upstream_failed", upstream=self._address.target, code=code.name, details=(error.details() or "")[:_MAX_LOGGED]
        )
        if code is Code.RESOURCE_EXHAUSTED:
            told = error_of(code, "", cast("Trailers", error.trailing_metadata() or ()))
            wait_s = min(max(told.retry_after_s, 0.0), _MAX_RETRY_S) if isinstance(told, QuotaExceededError) else 1.0
            return QuotaExceededError("the model has too much to do; try again shortly", retry_after_s=wait_s)
        if code is Code.INVALID_ARGUMENT:
            return InvalidInputError("the model does not take this input")
        if code in (Code.UNAVAILABLE, Code.NOT_FOUND, Code.CANCELLED):
            return NotLoadedError("the model is not there now; try again shortly")
        if code is Code.DEADLINE_EXCEEDED:
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
