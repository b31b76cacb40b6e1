"""TOML files that people write: one way to read them, one way to say why one cannot be read."""

import tomllib
from pathlib import Path
from typing import Any

from guard.errors import ConfigError


def read_toml(path: Path, *, whose: str, kind: str, max_bytes: int | None = None) -> dict[str, Any]:
    """Return a file's document; ConfigError if it cannot be read, is no TOML, or is larger than `max_bytes`.

    `whose` stands before the path where it cannot be read ("the rules at"), `kind` names what such a file holds ("rules").
    """
    try:
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise ConfigError(f"{path} has more than {max_bytes} bytes; that is no file of {kind}")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {whose} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text file; {kind} are TOML, in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None
