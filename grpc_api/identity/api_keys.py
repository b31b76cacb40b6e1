"""API keys: stored as hashes, compared in a time that tells nothing, and rotated without a restart."""

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from grpc_api.identity.base import Caller, Identity, Metadata
from grpc_api.identity.tenant_lines import watch_tenants
from guard.errors import UnauthenticatedError


class ApiKeys(Identity):
    """Keys in metadata `x-api-key`, or `authorization: Bearer KEY`; only their hashes are known here."""

    def __init__(self, hashes: Callable[[], Mapping[str, str]]) -> None:
        """`hashes` returns the SHA-256 of each key, in hex, with its tenant, the same mapping until it changes."""
        self._hashes = hashes
        # Looked up under a key of this process: how long that takes says nothing of any hash, however many there are.
        self._blind = secrets.token_bytes(32)
        self._known: Mapping[str, str] = {}
        self._callers: dict[bytes, Caller] = {}

    @classmethod
    def of(cls, hashes: Mapping[str, str]) -> "ApiKeys":
        """Know these keys and no others."""
        return cls(lambda: hashes)

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """Read lines of tenant:sha256, again whenever the file changes; ConfigError names the line, not its hash."""
        what = "TENANT:SHA256, the key's hash as 64 hex digits in lower case"
        watched = watch_tenants(path, "[0-9a-f]{64}", what=what)
        return cls(lambda: watched.value)

    @property
    def tenants(self) -> Sequence[str]:
        return sorted(set(self._hashes().values()))

    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        if (hashes := self._hashes()) is not self._known:
            self._callers = {self._blinded(bytes.fromhex(digest)): Caller(tenant) for digest, tenant in hashes.items()}
            self._known = hashes
        key = _key(metadata)
        if key is None:
            raise UnauthenticatedError("no API key; send it as metadata x-api-key, or authorization: Bearer KEY")
        found = self._callers.get(self._blinded(sha256(key).digest()))
        if found is None:
            raise UnauthenticatedError("this API key is not known")
        return found

    def _blinded(self, digest: bytes) -> bytes:
        return hmac.digest(self._blind, digest, "sha256")


def _key(metadata: Metadata) -> bytes | None:
    for name, value in metadata:
        if name not in ("x-api-key", "authorization"):
            continue
        text = value if isinstance(value, bytes) else value.encode()
        if name == "x-api-key":
            return text
        if text[:7].lower() == b"bearer ":
            return text[7:].strip()
    return None
