"""From folders and Parquet files to images split for fitting, calibration and test.

The same bytes never stand on two sides: a picture's side is drawn from its own hash, so copies go together and adding images
moves none of the old ones. A source is looked through once for hashes and sizes and read again for what was chosen, one image at
a time: however large it is, memory holds hashes of the chosen ones and the picture at hand.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluation.baseline import FEWEST
from guard.errors import InvalidInputError
from guard.images import Encoded, decode, links_passed_over, read, size_of
from guard.seen import NOTHING_SEEN, Seen
from guard.types import Ints, Pixels, Reporter
from knockguard.console import warn

LEAST = {"fit": 50, "test": FEWEST}  # images by side, elsewhere one; the baseline is measured on those that test
MIN_CLASSES = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Share of images by side. With `classes`, and at least four of them, whole classes are split instead of single images."""

    shares: Mapping[str, float]
    classes: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The most images used of one source (drawn by their hashes), the split's seed, and images that are left out."""

    limit: int
    seed: int
    without: Seen = NOTHING_SEEN


IN_SPLIT = Split({"fit": 0.5, "calibration": 0.3, "test": 0.2}, classes=False)
WHOLE = Split({"all": 1.0}, classes=False)
OUT_SPLIT = Split({"fit": 0.7, "test": 0.3}, classes=True)


@dataclass(frozen=True, slots=True)
class _Found:
    """One chosen image: where it stands in the source, and what its header says, or what is wrong with it."""

    digest: bytes
    place: int
    label: str | None
    short_side: int
    fault: InvalidInputError | None


class Source(Protocol):
    """Images by side, to be had one at a time: `Pool`, or images that are made as they are asked for."""

    @property
    def short_sides(self) -> Mapping[str, Ints]: ...
    @property
    def labels(self) -> Mapping[str, tuple[str | None, ...]]: ...
    @property
    def by_class(self) -> bool: ...
    def counts(self) -> dict[str, int]: ...
    def files(self, side: str, *, most: int) -> Iterator[bytes]: ...
    def images(self, *, progress: Reporter, most: Mapping[str, int] | None = None) -> Iterator[tuple[str, int, Pixels]]: ...


@dataclass(frozen=True, slots=True)
class Pool:
    """A source that was looked through: which images stand on which side, none of them held.

    `short_sides` has (n,) pixels and `labels` n classes, where the source tells, for each side. `by_class` tells whether whole
    classes stand on one side, so that test classes are new to the detector.
    """

    source: Path
    short_sides: Mapping[str, Ints]
    labels: Mapping[str, tuple[str | None, ...]]
    by_class: bool
    _where: Mapping[int, tuple[str, int, bytes]]  # place in the source -> side, row on that side, hash
    n_left_out: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many images each side has."""
        return {side: len(found) for side, found in self.short_sides.items()}

    def places(self) -> dict[bytes, int]:
        """Return hash of each chosen image -> where it stands in the source."""
        return {digest: place for place, (_, _, digest) in self._where.items()}

    def digests(self, *sides: str) -> list[bytes]:
        """Return the hashes of the chosen images on these sides."""
        return [digest for side, _, digest in self._where.values() if side in sides]

    def files(self, side: str, *, most: int) -> Iterator[bytes]:
        """Yield the first files of a side, as they are."""
        wanted = {place for place, (where, row, _) in self._where.items() if where == side and row < most}
        return (item.content for item in read(self.source, only=wanted))

    def images(self, *, progress: Reporter, most: Mapping[str, int] | None = None) -> Iterator[tuple[str, int, Pixels]]:
        """Yield side, row and (h, w, 3) image of every chosen one, in the source's order; rows are by hash, whatever the names.

        With `most` only so many of the first rows of the sides that it names, the others unread.

        InvalidInputError if an image cannot be decoded, or is another than it was when the source was looked through.
        """
        wanted = {place: where for place, where in self._where.items() if most is None or where[1] < most.get(where[0], 0)}
        found = zip(sorted(wanted), read(self.source, only=wanted), strict=False)
        done = 0
        for done, (place, item) in enumerate(found, 1):
            side, row, digest = self._where[place]
            if sha256(item.content).digest() != digest:
                raise InvalidInputError(
                    f"{item.name} has changed since it was looked at; let nobody write there, and start again"
                )
            yield side, row, decode(item.content, name=item.name)
            progress(done, len(wanted))
        if done < len(wanted):
            raise InvalidInputError(
                f"{self.source} has lost images since it was looked at; let nobody write there, and start again"
            )


def check_apart(inside: Pool, outside: Pool) -> None:
    """InvalidInputError if images are in both: whatever is measured between the two is worth nothing then."""
    ours, theirs = inside.places(), outside.places()
    if not (both := ours.keys() & theirs.keys()):
        return
    first = min(theirs[digest] for digest in both)
    name = next(read(outside.source, only={first})).name
    a, b = inside.source.resolve(), outside.source.resolve()
    nested = f"; {outside.source} lies in {inside.source}" if a in b.parents else ""
    nested = f"; {inside.source} lies in {outside.source}" if b in a.parents else nested
    raise InvalidInputError(
        f"{len(both)} of the {len(theirs)} images of {outside.source} are among those of {inside.source} as well, {name} for "
        f"one{nested}; an image is of the model's own kind or it is not, so take them out of one of the two"
    )


def look_through(source: Path, split: Split, reading: Reading) -> Pool:
    """Choose and split images, and warn of links that are not followed.

    InvalidInputError if there are too few to fit anything, or a chosen one's header is broken.
    """
    chosen, n_left_out = _chosen(source, reading)
    if n_links := links_passed_over(source):
        warn(f"{n_links} links below {source} lead out of it or nowhere, and are passed over; copy what is meant to count")
    shares, seed = split.shares, reading.seed
    classes = sorted({found.label for found in chosen if found.label is not None})
    by_class = split.classes and len(classes) >= MIN_CLASSES
    ranks = {c: (i + 0.5) / len(classes) for i, c in enumerate(sorted(classes, key=lambda c: _position(c.encode(), seed)))}
    short_sides: dict[str, list[int]] = {side: [] for side in shares}
    labels: dict[str, list[str | None]] = {side: [] for side in shares}
    where = {}
    for found in chosen:
        position = ranks[found.label] if by_class and found.label is not None else _position(found.digest, seed)
        side = _side(position, shares)
        where[found.place] = (side, len(short_sides[side]), found.digest)
        short_sides[side].append(found.short_side)
        labels[side].append(found.label)
    for side, images in short_sides.items():
        if len(images) < (least := LEAST.get(side, 1)):
            beside = f" beside {n_left_out} that made the bundle" if n_left_out else ""
            raise InvalidInputError(
                f"{source}: {len(images)} different images fell to {side!r}, at least {least} are needed; "
                f"there are {len(chosen)} in all{beside}, give more"
            )
    return Pool(
        source,
        {side: np.array(found, np.int64) for side, found in short_sides.items()},
        {side: tuple(found) for side, found in labels.items()},
        by_class,
        where,
        n_left_out,
    )


def _chosen(source: Path, reading: Reading) -> tuple[list[_Found], int]:
    """Return the `limit` images of the smallest hashes, by hash, each content once; and how many are left out."""
    limit, left_out = reading.limit, set[bytes]()
    heap: list[tuple[int, int]] = []  # of the largest hash on top, negated, and where it stands
    kept: dict[bytes, _Found] = {}
    for place, item in enumerate(read(source)):
        digest = sha256(item.content).digest()
        rank = -int.from_bytes(digest)
        if digest in reading.without:
            left_out.add(digest)
            continue
        if digest in kept or (len(heap) == limit and rank < heap[0][0]):
            continue
        kept[digest] = _found(digest, place, item)
        if len(heap) < limit:
            heapq.heappush(heap, (rank, place))
        else:
            dropped, _ = heapq.heappushpop(heap, (rank, place))
            del kept[(-dropped).to_bytes(32)]
    chosen = [kept[digest] for digest in sorted(kept)]
    for found in chosen:
        if found.fault is not None:  # only now: an image that is not used may be as broken as it likes
            raise found.fault
    return chosen, len(left_out)


def _found(digest: bytes, place: int, item: Encoded) -> _Found:
    try:
        return _Found(digest, place, item.label, min(size_of(item.content, name=item.name)), None)
    except InvalidInputError as error:
        return _Found(digest, place, item.label, 0, error)


def _position(what: bytes, seed: int) -> float:
    """Return where in [0, 1) something falls, the same on every machine."""
    return float(int.from_bytes(sha256(seed.to_bytes(8, "little") + what).digest()[:8], "little") / 2**64)


def _side(position: float, shares: Mapping[str, float]) -> str:
    ends = np.cumsum(list(shares.values()))
    return list(shares)[min(int(np.searchsorted(ends, position, side="right")), len(shares) - 1)]
