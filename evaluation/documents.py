"""Documents that a run writes and later commands read: typed JSON, whole or not there."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from guard.errors import InvalidInputError
from guard.settings import explain, keys_of
from guard.whole import write_whole

M = TypeVar("M", bound=BaseModel)


def write_document(document: BaseModel, path: Path) -> None:
    """Write the JSON document, whole or not at all."""
    write_whole(path, (document.model_dump_json(indent=2) + "\n").encode())


def read_document(kind: type[M], path: Path, *, name: str, origin: str) -> M:
    """Read a document, or the one called `name` in a folder; InvalidInputError says what is wrong, `origin` what writes one."""
    file = path / name if path.is_dir() else path
    try:
        return kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"cannot read {file} ({error.strerror}); {origin}") from None
    except ValidationError as error:
        raise InvalidInputError(f"{file}: {explain(error, keys_of(kind))}") from None
