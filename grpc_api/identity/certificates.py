"""Client certificates: the connection proves who asks, and a file says which tenant that is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from grpc_api.identity.base import Caller, Identity, Metadata
from grpc_api.identity.tenant_lines import watch_tenants
from guard.errors import UnauthenticatedError


class Certificates(Identity):
    """The subject alternative names of a certificate that the clients' authority signed, such as spiffe://shop.example/app."""

    by_peer: ClassVar[bool] = True

    def __init__(self, names: Callable[[], Mapping[str, str]]) -> None:
        """`names` returns each known name with its tenant."""
        self._names = names

    @classmethod
    def read(cls, path: Path) -> "Certificates":
        """Read lines of tenant:name, again whenever the file changes; ConfigError names the line."""
        what = "TENANT:NAME, a subject alternative name as the certificate has it"
        watched = watch_tenants(path, r"\S{1,512}", what=what)
        return cls(lambda: watched.value)

    @property
    def tenants(self) -> Sequence[str]:
        return sorted(set(self._names().values()))

    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        """Return the tenant of the certificate's names; a certificate of two tenants is nobody's."""
        known = self._names()
        tenants = {known[name] for name in peer if name in known}
        if len(tenants) != 1:
            reason = "no name of this certificate is known" if not tenants else "this certificate has names of several tenants"
            raise UnauthenticatedError(f"{reason}; ask the gateway's owner to enter it")
        return Caller(tenants.pop())
