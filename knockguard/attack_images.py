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
from knockguard.console import note


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


def left_apart(test: Pixels, labels: Ints, pool: Pool) -> tuple[Pixels, Ints]:
    """Return the test images that the pool does not hold pixel for pixel, with their labels, and say how many it does.

    A copy that was taught an image's answer is not measured by that image. InvalidInputError if a class has no other.
    """
    known = {_print(image) for image in pool.pixels}
    apart = np.array([_print(image) not in known for image in test], np.bool_)
    if n_shared := int((~apart).sum()):
        told = f"{n_shared} of {len(test)} test images are in the pool too"
        if bare := sorted(set(labels.tolist()) - set(labels[apart].tolist())):
            raise InvalidInputError(
                f"{told}, and class {bare[0]} has no other; a copy is measured on images that its thief cannot ask about: "
                "take them out of --pool, or give other ones with --test"
            )
        note(f"{told}, and are left out of the test")
    return test[apart], labels[apart]


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


def _print(image: Pixels) -> bytes:
    return sha256(image.tobytes()).digest()


def _hash(item: Encoded) -> bytes:
    return sha256(item.content).digest()
