"""Images in files of their own: read on use, and never from outside of the folder that was named."""

from collections.abc import Iterable, Mapping
from csv import DictReader
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guard.errors import InvalidInputError
from guard.images import MAX_BYTES, find
from guard.types import Ints


@dataclass(frozen=True, slots=True)
class Files:
    """The images at `paths`; each is read when it is asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int, /) -> bytes:
        """Return one file's bytes; InvalidInputError if it is missing or too large."""
        path = self.paths[row]
        try:
            if (size := path.stat().st_size) > MAX_BYTES:
                raise InvalidInputError(f"{path} has {size} bytes; an image may have at most {MAX_BYTES}")
            return path.read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read ({error.strerror}); unpack the archive again") from None


def listed(root: Path, names: Iterable[str]) -> Files:
    """Return the files that a list beside them names; InvalidInputError if a name leads out of `root`."""
    paths = []
    for name in names:
        if name.startswith("/") or ".." in Path(name).parts:
            raise InvalidInputError(f"{root}: the list names {name!r}, which leads out of the folder")
        paths.append(root / name)
    return Files(tuple(paths))


def by_folder(root: Path, classes: Iterable[str] | None = None) -> tuple[Files, Ints, tuple[str, ...]]:
    """Return files, labels (n,) and class names of a tree with one folder a class.

    `classes` fixes which folders count and their order; by default all do, sorted. InvalidInputError if one has no image.
    """
    names = tuple(sorted(p.name for p in root.iterdir() if p.is_dir()) if classes is None else classes)
    order: Mapping[str, int] = {name: i for i, name in enumerate(names)}
    found = [(path, path.relative_to(root).parts[0]) for path in find(root)]
    kept = [(path, order[name]) for path, name in found if name in order]
    if empty := sorted(set(range(len(names))) - {label for _, label in kept}):
        raise InvalidInputError(f"{root / names[empty[0]]} holds no image; {len(empty)} of {len(names)} classes are empty")
    return Files(tuple(path for path, _ in kept)), np.array([label for _, label in kept], np.int64), names


def read_table(path: Path, columns: tuple[str, ...], *, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of a CSV file; InvalidInputError if it cannot be read or lacks one of `columns`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = DictReader(file, delimiter=delimiter)
            if missing := [c for c in columns if c not in (reader.fieldnames or [])]:
                raise InvalidInputError(f"{path} has no column {missing[0]!r}; it has {', '.join(reader.fieldnames or ['none'])}")
            return list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error})") from None


def integers(rows: list[dict[str, str]], column: str, *, table: Path) -> Ints:
    """Return a column as (n,) int64; InvalidInputError names the value that is none."""
    try:
        return np.array([int(row[column]) for row in rows], np.int64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{table}: column {column!r} must hold whole numbers ({error})") from None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that say something; InvalidInputError if it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error})") from None
