"""Files of lines TENANT:CREDENTIAL, which name their mistakes by line and never show a credential."""

import re
from pathlib import Path

import structlog

from grpc_api.identity.base import TENANT
from grpc_api.watched import Watched
from guard.errors import ConfigError

log = structlog.get_logger()
MAX_BYTES = 1 << 20


def read_tenants(path: Path, credential: str, *, what: str) -> dict[str, str]:
    """Return credential -> tenant; several credentials may be one tenant's, so that they can be rotated.

    `credential` is its regular expression and `what` its description. Blank lines and # comments are passed over. ConfigError
    names the line that is wrong, or that repeats a credential.
    """
    pattern = re.compile(f"({TENANT}):({credential})")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes; that is no list of tenants")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text file"
        raise ConfigError(f"cannot read the tenants at {path}: {reason}") from None
    tenants: dict[str, str] = {}
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise ConfigError(f"{path} line {number} is not {what}")
        if match[2] in tenants:
            raise ConfigError(f"{path} line {number} repeats a credential of {tenants[match[2]]!r}; each belongs to one tenant")
        tenants[match[2]] = match[1]
    return tenants


def watch_tenants(path: Path, credential: str, *, what: str) -> Watched[dict[str, str]]:
    """Read a file as `read_tenants` does, again whenever it changes; ConfigError at the start if it names nobody.

    Later it may: that is how the last credential is taken away.
    """

    def read() -> dict[str, str]:
        return read_tenants(path, credential, what=what)

    def read_again() -> dict[str, str]:
        if not (tenants := read()):
            log.warning("nobody_may_ask", file=path.name, advice=f"add lines of {what}")
        return tenants

    if not read():
        raise ConfigError(f"{path} names nobody, so nobody could ask; add lines of {what}")
    return Watched((path,), read_again)
