"""Consent is asked for wherever an attack could reach somebody else."""

import pytest

from evaluation.authorisation import check_authorised
from guard.errors import PermissionDeniedError


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("127.9.9.9:8001", True),
        ("[::1]:8001", True),
        ("192.0.2.1:8001", False),
        ("[2001:db8::1]:8001", False),
        ("localhost.example:8001", False),
        ("127.0.0.1.example:8001", False),
        ("127.0.0.1", False),  # no port, so no host that is known
        ("dns:///127.0.0.1:8001", False),
        ("unix:/run/socket:8001", False),
        ("", False),
    ],
)
def test_only_loopback_needs_no_consent(address: str, allowed: bool) -> None:
    if allowed:
        check_authorised(address, None)
    else:
        with pytest.raises(PermissionDeniedError, match="--i-am-authorised-by"):
            check_authorised(address, None)
    check_authorised(address, "its owner")
