"""An image set: labelled images that are decoded when they are asked for, and the ways to take a part of one.

Parts share the images and keep only row numbers, so a hundred splits of ImageNet cost no more than one. Every draw is seeded and
stratified by class, and a division keeps groups together: frames of one traffic sign never stand on two sides of it.
"""

import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guard.errors import InvalidInputError
from guard.images import decode
from guard.preprocess import framed
from guard.types import Ints, Pixels, Reporter

Rows = NDArray[np.intp]
UNLABELLED = -1
_DECODED_AT_ONCE = 256


class Images(Protocol):
    """Where the images are: each either the bytes of a file or (h, w, 3) uint8 RGB."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> bytes | Pixels: ...


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """n images: `images[rows[i]]` has class `labels[i]` (0 to k - 1, or -1 where none is known) and belongs to `groups[i]`.

    `rows`, `labels` and `groups` are (n,) int64. Images of one group (frames of one track, crops of one photograph) are no
    independent draws; by default each image is a group of its own.
    """

    name: str
    split: str
    images: Images
    rows: Ints
    labels: Ints
    groups: Ints
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.labels) == len(self.groups):
            raise InvalidInputError(f"{self.name}: {len(self.rows)} rows, {len(self.labels)} labels, {len(self.groups)} groups")
        if len(self.labels) and not UNLABELLED <= self.labels.min() <= self.labels.max() < max(len(self.classes), 1):
            raise InvalidInputError(
                f"{self.name} {self.split}: labels go from {self.labels.min()} to {self.labels.max()} and there are "
                f"{len(self.classes)} class names; a label is 0 to {len(self.classes) - 1}, or {UNLABELLED} for none"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_classes(self) -> int:
        """How many classes have a name here, whether or not an image of each is left."""
        return len(self.classes)

    @property
    def counts(self) -> Ints:
        """Images of each class, (k,) int64."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.n_classes).astype(np.int64)

    @property
    def n_groups(self) -> int:
        """How many independent draws there are."""
        return len(np.unique(self.groups))

    @property
    def shared_groups(self) -> Ints | None:
        """The groups (n,), or None where each image is one of its own."""
        return None if self.n_groups == len(self) else self.groups

    @property
    def shared_labels(self) -> Ints | None:
        """The labels (n,), or None where some are not known."""
        return None if (self.labels < 0).any() else self.labels

    # Images

    def image(self, index: int) -> Pixels:
        """Return image `index` as (h, w, 3) uint8 RGB, in its own size; InvalidInputError if it cannot be decoded."""
        found = self.images[int(self.rows[index])]
        return decode(found, name=f"{self.name} {self.split} image {index}") if isinstance(found, bytes) else found

    def encoded(self, index: int) -> bytes:
        """Return image `index` as the bytes of a file: its own where it has one, else PNG."""
        found = self.images[int(self.rows[index])]
        if isinstance(found, bytes):
            return found
        file = io.BytesIO()
        Image.fromarray(found).save(file, format="PNG")
        return file.getvalue()

    def decoded(self) -> list[Pixels]:
        """Return all images in their own sizes. Mind the memory: `take` a part of a large set first."""
        return [self.image(i) for i in range(len(self))]

    def batches(self, size: int, n: int = _DECODED_AT_ONCE) -> Iterator[Pixels]:
        """Yield (at most n, size, size, 3) uint8 in order: the largest centred square, bilinear, antialiased."""
        with ThreadPoolExecutor() as threads:  # decoding leaves the interpreter lock, so two cores do nearly twice as much
            for start in range(0, len(self), n):
                part = range(start, min(start + n, len(self)))
                yield np.stack(list(threads.map(lambda i: framed(self.image(i), (size, size)), part)))

    def pixels(self, size: int, *, progress: Reporter | None = None) -> Pixels:
        """Return (n, size, size, 3) uint8, see `batches`. `progress` hears how many are done."""
        out, done = np.empty((len(self), size, size, 3), np.uint8), 0
        for batch in self.batches(size):
            out[done : done + len(batch)] = batch
            done += len(batch)
            if progress:
                progress(done, len(self))
        return out

    # Parts

    def grouped(self, groups: Ints | None) -> "ImageSet":
        """Return the set with these groups (n,); with None as it is."""
        return self if groups is None else replace(self, groups=groups)

    def take(self, which: Rows | Ints | NDArray[np.bool_] | slice) -> "ImageSet":
        """Return the images at these positions, in that order."""
        return replace(self, rows=self.rows[which], labels=self.labels[which], groups=self.groups[which])

    def of_classes(self, classes: frozenset[int]) -> "ImageSet":
        """Return the images of these classes. Labels keep their numbers."""
        return self.take(np.isin(self.labels, sorted(classes)))

    def sample(self, n: int, *, seed: int) -> "ImageSet":
        """Return at most n images, classes in the shares they have here (largest remainders), in random order."""
        if n >= len(self):
            return self.take(np.random.default_rng(seed).permutation(len(self)))
        kinds, counts = np.unique(self.labels, return_counts=True)
        exact = counts * (n / len(self))
        quota = np.floor(exact).astype(np.int64)
        quota[np.argsort(quota - exact, kind="stable")[: n - int(quota.sum())]] += 1
        return self._draw(dict(zip(kinds.tolist(), quota.tolist(), strict=True)), seed=seed)

    def per_class(self, n: int, *, seed: int) -> "ImageSet":
        """Return n images of each class that has as many, all of the others, in random order."""
        return self._draw(dict.fromkeys(np.unique(self.labels).tolist(), n), seed=seed)

    def balanced(self, *, seed: int) -> "ImageSet":
        """Return the set with rare classes repeated up to the commonest, in random order; augment it, or copies are all it adds.

        Split first: a copy on the other side of a split would be a leak.
        """
        rng = np.random.default_rng(seed)
        most = int(self.counts.max(initial=0))
        parts = [np.resize(rng.permutation(np.flatnonzero(self.labels == c)), most) for c in np.flatnonzero(self.counts)]
        return self.take(rng.permutation(np.concatenate(parts))) if parts else self

    def divide(self, shares: Mapping[str, float], *, seed: int) -> dict[str, "ImageSet"]:
        """Return named parts of about these shares, class by class, no group on two sides; InvalidInputError if shares exceed 1.

        What is over when they sum to less than 1 stands on no side.
        """
        total = sum(shares.values())
        if total > 1 + 1e-9 or any(share <= 0 for share in shares.values()):
            raise InvalidInputError(f"shares of {dict(shares)} sum to {total:g}; each must be above 0 and all together at most 1")
        rng = np.random.default_rng(seed)
        edges = np.cumsum(list(shares.values()))
        edges[-1] += 1e-9  # rounding must not push the last group over the edge
        _, first, group, sizes = np.unique(self.groups, return_index=True, return_inverse=True, return_counts=True)
        label_of = self.labels[first]  # a group of several classes goes by its first image
        side = np.empty(len(sizes), np.int64)
        for label in np.unique(label_of):
            order = rng.permutation(np.flatnonzero(label_of == label))
            # A random start in each group: a class of one group falls to a side as often as that side's share says.
            place = (np.cumsum(sizes[order]) - sizes[order] * rng.random()) / sizes[order].sum()
            side[order] = np.searchsorted(edges, place, side="right")
        return {name: self.take(rng.permutation(np.flatnonzero(side[group] == i))) for i, name in enumerate(shares)}

    def _draw(self, quota: Mapping[int, int], *, seed: int) -> "ImageSet":
        rng = np.random.default_rng(seed)
        chosen = [rng.permutation(np.flatnonzero(self.labels == label))[:n] for label, n in sorted(quota.items())]
        return self.take(rng.permutation(np.concatenate(chosen)) if chosen else slice(0, 0))


def image_set(name: str, split: str, images: Images, labels: Ints, *, classes: tuple[str, ...]) -> ImageSet:
    """Return the set of all of `images`, each a group of its own."""
    rows = np.arange(len(images), dtype=np.int64)
    return ImageSet(name, split, images, rows, labels.astype(np.int64), rows, classes)
