"""Nobody in particular."""

from collections.abc import Sequence

from grpc_api.identity.base import ANONYMOUS, Caller, Identity, Metadata


class Anonymous(Identity):
    """Anybody may ask, and all are one."""

    tenants = (ANONYMOUS,)

    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        return Caller(ANONYMOUS)
