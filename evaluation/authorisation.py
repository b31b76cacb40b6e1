"""Whose model may be attacked: one on this machine, or one whose owner has agreed and is named."""

from grpc_api.listening import is_loopback
from guard.errors import PermissionDeniedError


def check_authorised(address: str, authorised: str | None) -> None:
    """PermissionDeniedError unless `address` (host:port) is loopback or somebody is named who allowed the attack."""
    host = address.rpartition(":")[0].strip("[]")
    if not is_loopback(host) and not (authorised or "").strip():
        raise PermissionDeniedError(
            f"{address} is not this machine; attacking it needs its owner's consent, so say whose, with --i-am-authorised-by"
        )
