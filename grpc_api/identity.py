"""Who asks: nobody in particular, or the tenant whose API key was sent. Never a field that the client writes freely."""

import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from guard.errors import ConfigError, UnauthenticatedError

ANONYMOUS = "anonymous"
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-f]{64})")
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant behind a call; one of a closed set, so it may be a metric label."""

    tenant: str


CALLER: ContextVar[Caller] = ContextVar("caller")


class Identity(ABC):
    """Tells who asks, from a call's metadata."""

    tenants: tuple[str, ...]

    @abstractmethod
    def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        """Return who asks; UnauthenticatedError without good credentials."""


class Anonymous(Identity):
    """Anybody may ask, and all are one."""

    tenants = (ANONYMOUS,)

    def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        return Caller(ANONYMOUS)


class ApiKeys(Identity):
    """Keys in metadata `x-api-key`, or `authorization: Bearer KEY`; only their hashes are known here."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """`hashes` maps the SHA-256 of a key, in hex, to its tenant; several keys may be one tenant's, to rotate them."""
        self._hashes = [(bytes.fromhex(digest), Caller(tenant)) for digest, tenant in hashes.items()]
        self.tenants = tuple(sorted(set(hashes.values())))

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """Read lines of tenant:sha256; blank lines and # comments are passed over. ConfigError names the line, not its hash."""
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ConfigError(f"{path} has more than {_MAX_BYTES} bytes; that is no list of API keys")
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the API keys at {path}: {error}") from None
        hashes: dict[str, str] = {}
        for number, line in enumerate((line.strip() for line in lines), 1):
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise ConfigError(f"{path} line {number} is not TENANT:SHA256, the key's hash as 64 hex digits in lower case")
            if match[2] in hashes:
                raise ConfigError(f"{path} line {number} repeats a key of {hashes[match[2]]!r}; each key belongs to one tenant")
            hashes[match[2]] = match[1]
        if not hashes:
            raise ConfigError(f"{path} holds no API key, so nobody could ask; add lines of TENANT:SHA256")
        return cls(hashes)

    def caller(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        found = _key(metadata)
        if found is None:
            raise UnauthenticatedError("no API key; send it as metadata x-api-key, or authorization: Bearer KEY")
        digest = sha256(found.encode()).digest()
        # Every hash is compared, whichever matches, so that time tells nothing.
        matches = [caller for known, caller in self._hashes if hmac.compare_digest(known, digest)]
        if not matches:
            raise UnauthenticatedError("this API key is not known")
        return matches[0]


def _key(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    for name, value in metadata:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if name == "x-api-key":
            return text
        if name == "authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
    return None
