"""An attacker's images: a pool of bounded size with its classes, and the labelled images that a copy is measured on."""

from hashlib import sha256
from heapq import nsmallest
from pathlib import Path

import numpy as np

from evaluation.attacks.base import Pool
from evaluation.target import Target
from guard.errors import InvalidInputError
from guard.images import Encoded, decode, read
from guard.preprocess import framed
from guard.types import Ints, Pixels, Reporter


def read_pool(source: Path, target: Target, *, limit: int, progress: Reporter) -> tuple[Pool, list[str]]:
    """Return at most `limit` different images of the model's size, and the names of their classes, if all have one.

    The pool's groups number the classes in the order of the names. InvalidInputError if an image cannot be read.
    """
    pixels, labels = _read(source, target, limit=limit, progress=progress)
    if None in labels:
        return Pool(pixels), []
    names, groups = np.unique(np.array([str(label) for label in labels]), return_inverse=True)
    return Pool(pixels, groups.astype(np.int64)), names.tolist()


def read_labelled(source: Path, target: Target, *, limit: int, progress: Reporter) -> tuple[Pixels, Ints]:
    """Return at most `limit` images whose classes, in sorted order, are the model's; numbers sort as numbers."""
    pixels, names = _read(source, target, limit=limit, progress=progress)
    if None in names:
        raise InvalidInputError(f"{source}: test images need classes, one folder each or a 'label' column, to measure a copy on")
    known = sorted({str(n) for n in names}, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0, n))
    if len(known) != target.n_classes:
        raise InvalidInputError(f"{source} has {len(known)} classes and the model has {target.n_classes}; they must be the same")
    index = {name: i for i, name in enumerate(known)}
    return pixels, np.array([index[str(n)] for n in names], np.int64)


def _read(source: Path, target: Target, *, limit: int, progress: Reporter) -> tuple[Pixels, list[str | None]]:
    """Read twice, so that only what is kept is ever held: first for the smallest hashes, which are as good as a draw."""
    chosen = dict.fromkeys(nsmallest(limit, {_hash(item) for item in read(source)}), True)
    pixels = np.empty((len(chosen), *target.size, 3), np.uint8)
    labels: list[str | None] = []
    for item in read(source):
        if chosen.pop(_hash(item), False):
            pixels[len(labels)] = framed(decode(item.content, name=item.name), target.size)
            labels.append(item.label)
            progress(len(labels), len(pixels))
    return pixels, labels


def _hash(item: Encoded) -> bytes:
    return sha256(item.content).digest()
