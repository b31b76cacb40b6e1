"""Tables of images: Parquet as the Hugging Face hub lays it out, and the Arrow files that its `datasets` saves to disk.

A column `image` (or `img`) of struct{bytes, path} or of bytes, and `label` where there is one. pyarrow alone reads both.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from guard.errors import ConfigError, InvalidInputError

IMAGE_COLUMNS = ("image", "img")
_PARQUET, _ARROW = ".parquet", ".arrow"
_STATE, _SPLITS = "state.json", "dataset_dict.json"
_MAX_STATE_BYTES = 1 << 20
_ROWS_AT_ONCE = 64
_FIX = "write the table with the bytes of the files, or remove the row"


def find_tables(source: Path) -> list[Path]:
    """Return the table itself, or those of a folder that `Dataset.save_to_disk` wrote, in order; none if `source` is neither.

    InvalidInputError if the folder holds several splits, of which one must be given, or its own list is broken.
    """
    if source.is_file():
        return [source] if source.suffix in (_PARQUET, _ARROW) else []
    if (source / _SPLITS).is_file():
        splits = [str(s) for s in _listed(source / _SPLITS, "splits")]
        raise InvalidInputError(f"{source} holds the splits {', '.join(splits)}; give one of them, such as {source / splits[0]}")
    if not (source / _STATE).is_file():
        return []
    names = [item.get("filename") if isinstance(item, dict) else None for item in _listed(source / _STATE, "_data_files")]
    paths = [source / name for name in names if isinstance(name, str) and Path(name).name == name]
    if len(paths) != len(names) or not all(path.is_file() and path.suffix == _ARROW for path in paths):
        raise InvalidInputError(f"{source / _STATE} names files that are not beside it; save the dataset to disk again")
    return paths


def read_rows(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the image and the label of each row as pyarrow scalars, the label None without such a column; few rows are held.

    InvalidInputError if the file is broken or has no image column.
    """
    pa, parquet = _pyarrow()
    try:
        if path.suffix == _PARQUET:
            file = parquet.ParquetFile(path)
            columns = columns_of(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                yield from _rows_of(batch, columns)
            return
        with pa.memory_map(str(path)) as content, pa.ipc.open_stream(content) as stream:
            columns = columns_of(path, stream.schema.names)
            for batch in stream:
                yield from _rows_of(batch, columns)
    except (OSError, KeyError, pa.lib.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(f"{path} is not a table of images that can be read ({reason}); write or copy it again") from None


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name for messages and the values of each row of a Parquet file; InvalidInputError if it cannot be read."""
    pa, parquet = _pyarrow()
    try:
        n = 0
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield f"{path} row {n}", row
                n += 1
    except (OSError, KeyError, pa.lib.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(f"{path} is not a Parquet file that can be read ({reason}); write or copy it again") from None


def cell_bytes(cell: Any, *, where: str, max_bytes: int) -> bytes:
    """Return the encoded image of a pyarrow scalar; InvalidInputError if it is null, of another type, empty or too long.

    It is checked before its bytes are copied; `where` names file and row.
    """
    pa, _ = _pyarrow()
    if isinstance(cell, pa.StructScalar) and cell.is_valid:
        parts = [field.name for field in cell.type]
        if "bytes" not in parts:
            raise InvalidInputError(f"{where} has an image without the field 'bytes', only {', '.join(parts) or 'none'}; {_FIX}")
        cell = cell["bytes"]
    if not cell.is_valid:
        raise InvalidInputError(f"{where} holds no image bytes, or only a path; {_FIX}")
    if not (isinstance(cell, pa.BinaryScalar) and "binary" in str(cell.type)):  # strings are such scalars as well
        raise InvalidInputError(f"{where} has an image of type {cell.type}, not the bytes of a file; {_FIX}")
    if not 0 < (size := cell.as_buffer().size) <= max_bytes:
        raise InvalidInputError(f"{where} has an image of {size} bytes; it must have 1 to {max_bytes}")
    content: bytes = cell.as_py()
    return content


def read_whole(path: Path) -> Any:
    """Return a table as pyarrow.Table, every column; Arrow files stay on disk until a row is asked for.

    Raises what pyarrow raises where the file is broken: OSError, or ValueError and what derives from it.
    """
    pa, parquet = _pyarrow()
    if path.suffix == _PARQUET:
        return parquet.read_table(path)
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def _rows_of(batch: Any, columns: list[str]) -> Iterator[tuple[Any, Any]]:
    labels = batch.column(columns[1]) if len(columns) > 1 else None
    for i, cell in enumerate(batch.column(columns[0])):
        yield cell, None if labels is None else labels[i]


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # an extra: a gateway has no need of it
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("tables of images need pyarrow; install it with: pip install 'knockguard[protect]'") from None
    return pa, parquet


def columns_of(path: Path, names: Sequence[str]) -> list[str]:
    """Return the image column's name and, where there is one, "label"; InvalidInputError without images."""
    if not (found := [c for c in IMAGE_COLUMNS if c in names]):
        raise InvalidInputError(f"{path} has no column 'image'; it has {', '.join(names)}")
    return [found[0], *(["label"] if "label" in names else [])]


def _listed(path: Path, key: str) -> list[Any]:
    """Return a list that is not empty from a small JSON file; InvalidInputError otherwise."""
    try:
        if path.stat().st_size > _MAX_STATE_BYTES:
            raise ValueError(f"it has more than {_MAX_STATE_BYTES} bytes")
        listed = json.loads(path.read_text(encoding="utf-8"))[key]
        if not (isinstance(listed, list) and listed):
            raise ValueError(f"{key!r} is no list of at least one")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not what `save_to_disk` writes ({error}); save the dataset to disk again") from None
    return listed
