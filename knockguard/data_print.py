"""What tells a data folder's image sets from other ones, or from what they were before, without reading an image."""

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from evaluation.datasets import DATASETS
from evaluation.pools import TABLE


def data_fingerprint(data: Path, names: Iterable[str]) -> str:
    """Return a hash over the files of these sets, and over the table that divides pools: path in `data`, size, time of change.

    Every file of a set in its published layout counts, not the folder alone. A set that is not there has no files: whoever loads
    it says so. ConfigError if no set goes by a name.
    """
    digest = sha256()
    for name in sorted(set(names)):
        digest.update(f"{name}\0".encode())
        for place in DATASETS.get(name)().places(data):
            for path in _files(place):
                digest.update(_told(path, data))
    if (table := data / TABLE).is_file():
        digest.update(_told(str(table), data))
    return digest.hexdigest()


def _files(place: Path) -> Iterator[str]:
    """Yield the file, or all below the folder, in an order that hangs on names alone. Links are followed, each folder once."""
    if place.is_file():
        yield str(place)
    seen = set()
    for folder, below, files in os.walk(place, followlinks=True):
        below.sort()
        if (real := os.path.realpath(folder)) in seen:  # a link that leads back up would have no end
            below.clear()
            continue
        seen.add(real)
        yield from (os.path.join(folder, file) for file in sorted(files))  # noqa: PTH118  # ImageNet has a million of them


def _told(path: str, data: Path) -> bytes:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        found = os.lstat(path)  # a link that leads nowhere counts as what it is
    return f"{os.path.relpath(path, data)}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogateescape")
