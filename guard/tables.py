"""Tables of images: Parquet as the Hugging Face hub lays it out, and the Arrow files that its `datasets` saves to disk.

A column `image` (or `img`) of struct{bytes, path} or of bytes, and `label` where there is one. pyarrow alone reads both.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from guard.errors import InvalidInputError

IMAGE_COLUMNS = ("image", "img")
_PARQUET, _ARROW = ".parquet", ".arrow"
_STATE, _SPLITS = "state.json", "dataset_dict.json"
_MAX_STATE_BYTES = 1 << 20


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


def read_batches(path: Path) -> Iterator[Any]:
    """Yield the rows of a table as pyarrow.RecordBatch, the image and label columns alone; InvalidInputError if it has no image.

    Raises what pyarrow raises where the file is broken: OSError, or ValueError and what derives from it.
    """
    import pyarrow as pa  # an extra: a gateway has no need of it
    from pyarrow import parquet

    if path.suffix == _PARQUET:
        file = parquet.ParquetFile(path)
        yield from file.iter_batches(batch_size=512, columns=columns_of(path, file.schema_arrow.names))
        return
    with pa.memory_map(str(path)) as content, pa.ipc.open_stream(content) as stream:
        columns = columns_of(path, stream.schema.names)
        yield from (batch.select(columns) for batch in stream)


def read_whole(path: Path) -> Any:
    """Return a table as pyarrow.Table, every column; Arrow files stay on disk until a row is asked for. Raises as above."""
    import pyarrow as pa
    from pyarrow import parquet

    if path.suffix == _PARQUET:
        return parquet.read_table(path)
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


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
