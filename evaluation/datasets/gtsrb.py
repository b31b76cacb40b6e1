"""GTSRB: 43 German traffic signs, filmed from a moving car."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split, number
from evaluation.datasets.files import integers, listed, read_table
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError
from guard.types import Ints

_N_CLASSES = 43
_TRAIN = ("Final_Training/Images", "GTSRB/Final_Training/Images", "GTSRB/Training", "Training")
_TEST = ("Final_Test/Images", "GTSRB/Final_Test/Images")
_TABLE = "GT-final_test.csv"


class Gtsrb(Dataset):
    """Source: Stallkamp et al. 2011. Its own split: 39,209 + 12,630; torchvision's archive has 26,640 training images.

    A track is 30 frames of one sign as the car nears it, hence a group: 00003_00017.ppm is frame 17 of its class's track 3.
    """

    name: ClassVar[str] = "gtsrb"
    mirrors: ClassVar[bool] = False  # "keep left" becomes "keep right"
    folders: ClassVar[tuple[str, ...]] = ("GTSRB", "gtsrb")
    marks: ClassVar[tuple[str, ...]] = (*_TRAIN, *_TEST)
    beside: ClassVar[tuple[str, ...]] = (_TABLE,)
    layout: ClassVar[str] = (
        "Final_Training/Images/00000/GT-00000.csv with its .ppm files, Final_Test/Images/ and GT-final_test.csv (torchvision's "
        "gtsrb/GTSRB/Training will do)"
    )
    source: ClassVar[str] = "torchvision.datasets.GTSRB(DATA, split='train', download=True), then 'test'; or benchmark.ini.rub.de"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the images of the tables, in their order."""
        names, labels = [], []
        for folder, table in _train_tables(root) if split is Split.TRAIN else [_test_table(root)]:
            rows = read_table(table, ("Filename", "ClassId"), delimiter=";")
            names += [f"{folder.relative_to(root).as_posix()}/{row['Filename']}" for row in rows]
            labels.append(integers(rows, "ClassId", table=table))
        classes = tuple(str(i) for i in range(_N_CLASSES))
        whole = image_set(self.name, split, listed(root, names), np.concatenate(labels), classes=classes)
        return whole.grouped(self.groups_of(tuple(names)))

    def groups_of(self, paths: tuple[str, ...]) -> Ints | None:
        """Return the track's number, told from class folder and file name; None where the names are not of that kind."""
        parts = [Path(path) for path in paths]
        if not all("_" in part.stem for part in parts):
            return None  # the official test images are numbered at random and tell no track
        return number([f"{part.parent.name}/{part.stem.partition('_')[0]}" for part in parts])


def _train_tables(root: Path) -> list[tuple[Path, Path]]:
    for place in _TRAIN:
        if tables := sorted((root / place).glob("*/GT-*.csv")):
            return [(table.parent, table) for table in tables]
    raise InvalidInputError(f"{root} has no training tables; looked for {', '.join(f'{p}/00000/GT-00000.csv' for p in _TRAIN)}")


def _test_table(root: Path) -> tuple[Path, Path]:
    for place in _TEST:
        for table in (root / place / _TABLE, root / _TABLE, root.parent / _TABLE):
            if (root / place).is_dir() and table.is_file():
                return root / place, table
    raise InvalidInputError(
        f"{root} has no labelled test images; wanted are {' or '.join(_TEST)} and {_TABLE} (GTSRB_Final_Test_GT.zip)"
    )
