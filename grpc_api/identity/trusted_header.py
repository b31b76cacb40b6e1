"""Trusted header: a mesh in front has told who asks, and takes away what a client wrote there itself."""

from collections.abc import Collection, Sequence

from grpc_api.identity.base import Caller, Identity, Metadata
from guard.errors import UnauthenticatedError


class TrustedHeader(Identity):
    """Metadata of one name holds the tenant. Good only where nobody but the mesh reaches the port; see `opening`."""

    def __init__(self, header: str, tenants: Collection[str]) -> None:
        """`tenants` are all who may ask: others are refused, so the metrics' labels stay a closed set."""
        self._header = header
        self._callers = {tenant: Caller(tenant) for tenant in tenants}

    @property
    def tenants(self) -> Sequence[str]:
        return sorted(self._callers)

    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        told = [value for name, value in metadata if name == self._header]
        if len(told) != 1 or not isinstance(told[0], str):  # two: the client's own and the mesh's, and who knows which is which
            raise UnauthenticatedError(f"the mesh in front must say who asks, once, in {self._header}")
        found = self._callers.get(told[0])
        if found is None:
            raise UnauthenticatedError("this tenant is not known here")
        return found
