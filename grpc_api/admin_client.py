"""An operator's client: asks a gateway's admin service, and raises our errors."""

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from grpc_api.servicers.admin import SERVICE
from grpc_api.statuses import error_of
from grpc_api.stubs import knockguard_admin_pb2 as pb
from guard.errors import ConfigError

Response = TypeVar("Response", bound=Message)
_MAX_KEY_BYTES = 4096


def read_key(path: Path) -> str:
    """Return the key that a file holds, on its first line; ConfigError if there is none."""
    try:
        text = path.read_bytes()[:_MAX_KEY_BYTES].decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the admin key at {path}: {error}") from None
    if not text or len(text.split()) > 1:
        raise ConfigError(f"{path} holds no key; its one line is the key itself, not its hash")
    return text


class AdminClient:
    """One connection to `HOST:PORT`, with a key, or to `unix:PATH`. BackendError when nobody answers."""

    def __init__(self, address: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        self._channel = grpc.insecure_channel(address)
        self._metadata = (("x-api-key", key),) if key else ()
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._channel.close()

    def status(self) -> pb.StatusResponse:
        """Return how the gateway is."""
        return self._call("Status", pb.StatusRequest(), pb.StatusResponse)

    def bundles(self) -> pb.ListBundlesResponse:
        """Return what is live."""
        return self._call("ListBundles", pb.ListBundlesRequest(), pb.ListBundlesResponse)

    def set_policy(self, request: pb.SetPolicyRequest) -> pb.SetPolicyResponse:
        """Answer a model's queries otherwise from now on, and return its bundles."""
        return self._call("SetPolicy", request, pb.SetPolicyResponse)

    def reload(self, model: str = "") -> pb.ReloadResponse:
        """Have the bundles of a model, or all, read again."""
        return self._call("Reload", pb.ReloadRequest(model=model), pb.ReloadResponse)

    def evidence(self, tenant: str = "") -> pb.EvidenceResponse:
        """Return what is known of a tenant, or of all."""
        return self._call("Evidence", pb.EvidenceRequest(tenant=tenant), pb.EvidenceResponse)

    def reset(self, tenant: str) -> pb.ResetResponse:
        """Have a tenant's evidence forgotten."""
        return self._call("Reset", pb.ResetRequest(tenant=tenant), pb.ResetResponse)

    def limits(self, tenant: str = "") -> pb.LimitsResponse:
        """Return what a tenant, or each, may ask for and has used."""
        return self._call("Limits", pb.LimitsRequest(tenant=tenant), pb.LimitsResponse)

    def reset_limits(self, tenant: str) -> pb.ResetLimitsResponse:
        """Let a tenant begin anew."""
        return self._call("ResetLimits", pb.ResetLimitsRequest(tenant=tenant), pb.ResetLimitsResponse)

    def _call(self, method: str, request: Message, kind: type[Response]) -> Response:
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=kind.FromString,
        )
        try:
            return call(request, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_of(error.code(), error.details() or error.code().name) from None
