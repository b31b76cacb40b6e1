"""The guard's secret: read from a file, named by an id, never shown."""

import os
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from guard.errors import ConfigError

MIN_BYTES = 32
MAX_BYTES = 4096
_MIN_VARIETY = 8  # different bytes; of 32 random ones about 30 differ, and written in hexadecimal about 13 do


@dataclass(frozen=True, slots=True)
class Secret:
    """Key material and its id: the first 8 hex digits of a hash, enough to see which secret a log line means."""

    key: bytes = field(repr=False)
    id: str

    @classmethod
    def read(cls, path: Path) -> "Secret":
        """Read a secret file; ConfigError if it is missing, too short, too long, or open to other users."""
        try:
            status = path.stat()
        except OSError as error:
            raise ConfigError(f"no secret file at {path} ({error.strerror}); make one with `knockguard secret {path}`") from None
        if status.st_mode & 0o077:
            raise ConfigError(
                f"secret file {path} is open to other users (mode {status.st_mode & 0o777:03o}); run chmod 600 on it"
            )
        if not MIN_BYTES <= status.st_size <= MAX_BYTES:
            raise ConfigError(
                f"secret file {path} has {status.st_size} bytes; it must have {MIN_BYTES} to {MAX_BYTES} "
                f"(make one with `knockguard secret PATH`)"
            )
        key = path.read_bytes()
        if len(set(key)) < _MIN_VARIETY:
            raise ConfigError(f"secret file {path} repeats a few bytes; make a random one with `knockguard secret PATH`")
        return cls(key, sha256(b"knockguard secret id\0" + key).hexdigest()[:8])


def write_secret(path: Path) -> Secret:
    """Write 32 random bytes that only the owner can read; ConfigError if the file exists, since answers would change."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists; a new secret changes every shuffled answer, so remove it first if that is meant"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write a secret to {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(MIN_BYTES))
    return Secret.read(path)
