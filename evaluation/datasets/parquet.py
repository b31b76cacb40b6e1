"""Images in tables, as the Hugging Face hub lays them out (see `guard.tables`), class names in the schema."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from guard.errors import InvalidInputError
from guard.images import MAX_BYTES
from guard.tables import cell_bytes, columns_of, read_whole
from guard.types import Ints


@dataclass(frozen=True, slots=True)
class Rows:
    """The encoded images of a column; the column stays in Arrow's memory and one image is copied at a time.

    InvalidInputError for a row that holds no image bytes; `source` is what it then is named by.
    """

    column: Any  # pyarrow.ChunkedArray
    source: str

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int, /) -> bytes:
        return cell_bytes(self.column[row], where=f"{self.source} row {row}", max_bytes=MAX_BYTES)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds: n encoded images, (n,) labels (-1 without the column), the class names, n original paths."""

    images: Rows
    labels: Ints
    classes: tuple[str, ...]
    paths: tuple[str, ...]


def parquet_files(data: Path, name: str, split: str, *, only: bool) -> list[Path]:
    """Return `name-split.parquet`, or its shards `name-split-00000-of-00002.parquet`; with `only` `name.parquet` does as well."""
    whole = [data / f"{name}-{split}.parquet", *([data / f"{name}.parquet"] if only else [])]
    for path in whole:
        if path.is_file():
            return [path]
    return sorted(data.glob(f"{name}-{split}-*-of-*.parquet"))


def read_tables(files: list[Path]) -> Contents:
    """Return what the shards of one set hold, in order; InvalidInputError if one cannot be read or has no image column."""
    import pyarrow as pa  # an extra, see pyproject: a gateway has no need of it
    from pyarrow import compute

    try:
        table = pa.concat_tables([read_whole(path) for path in files])
        image, *label = columns_of(files[0], table.schema.names)
        column = table.column(image)
        fields = [field.name for field in column.type] if pa.types.is_struct(column.type) else []
        paths = compute.struct_field(column, "path") if "path" in fields else pa.nulls(len(column), pa.string())
        given = compute.fill_null(compute.cast(table.column("label"), pa.int64()), -1).to_numpy() if label else None
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:  # pyarrow's own errors are among these
        raise InvalidInputError(f"{files[0]} is not a table of images that can be read ({error})") from None
    if not len(table):
        raise InvalidInputError(f"{files[0]} holds no image: it has 0 rows")
    labels = np.full(len(table), -1, np.int64) if given is None else given
    classes = class_names(table.schema.metadata) or tuple(str(c) for c in range(int(labels.max(initial=-1)) + 1))
    source = str(files[0]) if len(files) == 1 else f"{files[0]} and the {len(files) - 1} shards after it,"
    return Contents(Rows(column, source), labels, classes, tuple(str(path or "") for path in paths.to_pylist()))


def class_names(metadata: dict[bytes, bytes] | None) -> tuple[str, ...]:
    """Return the label names that `datasets` writes into a schema; none where it has written nothing."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features["label"]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
