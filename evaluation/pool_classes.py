"""Which class stands on which side: read from a table, or drawn by a rule that needs none."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from evaluation.datasets import ImageSet
from evaluation.datasets.files import integers, read_table
from guard.errors import InvalidInputError

_COLUMNS = ("file", "label", "wnid", "name", "kind", "pool")
_WNID = re.compile(r"n\d{8}(?=$|[ _])")
# WordNet numbers nouns by topic: of ImageNet's classes the animals, tench to puffer, are the 398 between these.
_FIRST_ANIMAL, _LAST_ANIMAL = "n01440764", "n02655020"


class Side(StrEnum):
    """`excluded` classes are the second set's share of the detector's classes."""

    DETECTOR = "detector"
    ATTACK = "attack"
    TEST = "test"
    EXCLUDED = "excluded"


class Kind(StrEnum):
    """Animals are near to many victims' images, objects are far."""

    ANIMAL = "animal"
    OBJECT = "object"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PoolClass:
    """One class of one set. `identity` is what makes classes of two sets the same: the WordNet id, or else the name."""

    set: str
    label: int
    identity: str
    kind: Kind
    side: Side


@dataclass(frozen=True, slots=True)
class ClassSplit:
    """Every class of every set with its side."""

    classes: tuple[PoolClass, ...]

    @classmethod
    def read(cls, path: Path) -> "ClassSplit":
        """Read a table `file,label,wnid,name,kind,pool`; InvalidInputError names a row that cannot be used."""
        rows = read_table(path, _COLUMNS)
        labels = integers(rows, "label", table=path)
        try:
            return cls(
                tuple(
                    PoolClass(
                        row["file"], int(label), row["wnid"] or row["name"], Kind(row["kind"] or "unknown"), Side(row["pool"])
                    )
                    for row, label in zip(rows, labels, strict=True)
                )
            )
        except ValueError as error:
            sides, kinds = ", ".join(Side), ", ".join(Kind)
            raise InvalidInputError(f"{path}: {error}; a pool is one of {sides}, a kind one of {kinds}") from None

    @classmethod
    def drawn(cls, sets: Sequence[ImageSet], *, detector_share: float, seed: int) -> "ClassSplit":
        """Draw the first set's sides, kind by kind; in the other sets the detector's classes are excluded, the rest test."""
        first, *others = sets
        rng = np.random.default_rng(seed)
        strata: dict[Kind, list[int]] = defaultdict(list)
        for label in np.flatnonzero(first.counts).tolist():
            strata[kind_of(first.classes[label])].append(label)
        fitted = {
            label
            for _, labels in sorted(strata.items())
            for label in rng.permutation(labels)[: round(detector_share * len(labels))].tolist()
        }
        known = {identity_of(first.classes[label]) for label in fitted}
        rows = [_class(first, label, Side.DETECTOR if label in fitted else Side.ATTACK) for label in range(first.n_classes)]
        for images in others:
            for label, name in enumerate(images.classes):
                rows.append(_class(images, label, Side.EXCLUDED if identity_of(name) in known else Side.TEST))
        return cls(tuple(rows))

    def labels(self, of: str, *, side: Side | None = None, kind: Kind | None = None) -> frozenset[int]:
        """Return the labels of a set's classes on a side, of a kind, or both."""
        return frozenset(c.label for c in self.classes if c.set == of and side in (None, c.side) and kind in (None, c.kind))

    def knows(self, name: str) -> bool:
        """Say whether a set's classes are in here."""
        return any(c.set == name for c in self.classes)

    def check(self) -> None:
        """InvalidInputError if a class that the detector fits is also asked with or tested on, in whichever set."""
        fitted = {c.identity for c in self.classes if c.side is Side.DETECTOR}
        if both := sorted({c.identity for c in self.classes if c.side in (Side.ATTACK, Side.TEST)} & fitted):
            raise InvalidInputError(
                f"{len(both)} classes stand on both sides, the first is {both[0]}; a class that fits the detector "
                "must not test it, so mark it excluded"
            )

    def check_names(self, images: ImageSet) -> None:
        """InvalidInputError if a set numbers its classes otherwise than this split does."""
        for c in (c for c in self.classes if c.set == images.name and _WNID.match(c.identity)):
            found = images.classes[c.label] if 0 <= c.label < images.n_classes else "no class"
            if _WNID.match(found) and identity_of(found) != c.identity:
                raise InvalidInputError(
                    f"the table's class {c.label} of {images.name} is {c.identity}, and the images' is {found}"
                )


def identity_of(name: str) -> str:
    """Return "n01443537" of "n01443537 goldfish" or "n01443537_goldfish"; of other names the name in lower case."""
    found = _WNID.match(name)
    return found.group() if found else name.casefold().replace("_", " ").strip()


def is_among(name: str, kinds: Sequence[str]) -> bool:
    """Say whether a class is of these kinds: WordNet ids, or ranges such as "n02085620-n02113978" (ImageNet's dogs)."""
    identity = identity_of(name)
    ends = (kind.partition("-") for kind in kinds)
    return any(first <= identity <= (last or first) for first, _, last in ends)


def kind_of(name: str) -> Kind:
    """Return what a class of ImageNet shows, told from its WordNet id; unknown for names without one."""
    identity = identity_of(name)
    if not _WNID.match(identity):
        return Kind.UNKNOWN
    return Kind.ANIMAL if _FIRST_ANIMAL <= identity <= _LAST_ANIMAL else Kind.OBJECT


def _class(images: ImageSet, label: int, side: Side) -> PoolClass:
    name = images.classes[label]
    return PoolClass(images.name, label, identity_of(name), kind_of(name), side)
