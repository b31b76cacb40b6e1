"""What a dataset is: where its files lie, what they must be, how a user gets them, and how they become an image set."""

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from evaluation.datasets.image_set import ImageSet, image_set
from evaluation.datasets.parquet import parquet_files, read_tables
from guard.errors import InvalidInputError
from guard.types import Ints

__all__ = ["Dataset", "ImageSet", "Split"]


class Split(StrEnum):
    """The published split. What a detector fits, calibrates and tests on is divided off TRAIN; TEST only ever tests."""

    TRAIN = "train"
    TEST = "test"


class Dataset(ABC):
    """Reads one set from a user's data folder: Parquet files where there are any, else the layout its authors publish.

    `folders` are the names that the unpacked set goes by; the data folder itself will do as well. `marks` are paths in it, one of
    which must exist. `layout` and `source` complete the message when there is none of it. `beside` are tables that an archive
    unpacks next to its folder.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[Split, ...]] = (Split.TRAIN, Split.TEST)
    folders: ClassVar[tuple[str, ...]]
    marks: ClassVar[tuple[str, ...]]
    beside: ClassVar[tuple[str, ...]] = ()
    layout: ClassVar[str]
    source: ClassVar[str]
    mirrors: ClassVar[bool] = True  # a mirrored image shows the same class

    @final
    def load(self, data: Path, split: Split) -> ImageSet:
        """Return the split; InvalidInputError says where it was looked for, what is wanted there and how to get it."""
        if split not in self.splits:
            raise InvalidInputError(f"{self.name} has no {split} split; it has {', '.join(self.splits)}")
        # A set without the other split may lie in one file; the first split is what that file holds.
        if files := parquet_files(data, self.name, split, only=split == self.splits[0]):
            found = read_tables(files)
            whole = image_set(self.name, split, found.images, found.labels, classes=found.classes)
            return whole.grouped(self.groups_of(found.paths))
        if (root := self._root(data)) is not None:
            return self.read(root, split)
        looked = ", ".join(f"{folder}/" for folder in self.folders)
        raise InvalidInputError(
            f"{self.name} ({split}) is not in {data}: looked for {self.name}-{split}.parquet, then for {looked} or the folder "
            f"itself with {self.layout}. To get it: {self.source}"
        )

    @final
    def places(self, data: Path) -> list[Path]:
        """Return the files and folders that `load` reads one split or the other from; none where the set is missing."""
        tables = [parquet_files(data, self.name, split, only=split == self.splits[0]) for split in self.splits]
        root = None if all(tables) else self._root(data)
        found = [path for files in tables for path in files]
        return found if root is None else [*found, root, *(path for n in self.beside if (path := root.parent / n).is_file())]

    def _root(self, data: Path) -> Path | None:
        roots = (*(data / folder for folder in self.folders), data)
        return next((root for root in roots if any((root / mark).exists() for mark in self.marks)), None)

    @abstractmethod
    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the split from the published layout below `root`, where a mark exists; InvalidInputError if it is broken."""

    def groups_of(self, paths: tuple[str, ...]) -> Ints | None:
        """Return (n,) int64 numbers of what belongs together, told from original paths; None when each image stands alone."""
        return None


def number(names: list[str]) -> Ints:
    """Return (n,) int64: equal names get equal numbers."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64) if names else np.empty(0, np.int64)


def held_out(whole: ImageSet, split: Split, *, n_test: int) -> ImageSet:
    """Return our own split of a set that was published without one: `n_test` images a class, drawn with a fixed seed.

    A class has at most a third of its images in the test split, so that small ones can still be learned.
    """
    rng = np.random.default_rng(0)  # the set's own constant: an experiment's seed must not move images into the test
    test = np.zeros(len(whole), bool)
    for label in np.unique(whole.labels):
        rows = rng.permutation(np.flatnonzero(whole.labels == label))
        test[rows[: min(n_test, len(rows) // 3)]] = True
    return whole.take(test if split is Split.TEST else ~test)
