"""Diabetic5: photographs of the retina, graded 0 (no diabetic retinopathy) to 4 (proliferative)."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split, number
from evaluation.datasets.files import integers, listed, read_table
from evaluation.datasets.image_set import ImageSet, image_set
from guard.types import Ints

_GRADES = ("0 none", "1 mild", "2 moderate", "3 severe", "4 proliferative")
_SHARES = {"train": 0.8, "test": 0.2}  # the shares of Atli et al., table 1
_SOURCES = (("trainLabels.csv", "train"), ("retinopathy_solution.csv", "test"))


class Diabetic5(Dataset):
    """Source: Kaggle, Diabetic Retinopathy Detection (EyePACS), 2015.

    The competition's labelled images, and its test images too where their solution was unpacked beside them, divided 80 : 20 by
    patient with a fixed seed: the two eyes of one patient are alike. The paper balances classes by augmentation; that is for the
    training (`ImageSet.balanced`), after the division.
    """

    name: ClassVar[str] = "diabetic5"
    folders: ClassVar[tuple[str, ...]] = ("diabetic-retinopathy-detection", "diabetic5")
    marks: ClassVar[tuple[str, ...]] = ("trainLabels.csv",)
    layout: ClassVar[str] = "trainLabels.csv and train/10_left.jpeg, ... (and, if at hand, retinopathy_solution.csv and test/)"
    source: ClassVar[str] = "kaggle competitions download -c diabetic-retinopathy-detection, after its rules were accepted there"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return this split's share of the labelled images."""
        names, grades = [], []
        for table, folder in _SOURCES:
            if (root / table).exists():
                rows = read_table(root / table, ("image", "level"))
                names += [f"{folder}/{row['image']}.jpeg" for row in rows]
                grades.append(integers(rows, "level", table=root / table))
        whole = image_set(self.name, split, listed(root, names), np.concatenate(grades), classes=_GRADES)
        return whole.grouped(self.groups_of(tuple(names))).divide(_SHARES, seed=0)[split]

    def groups_of(self, paths: tuple[str, ...]) -> Ints:
        """Return the patient's number: 10_left.jpeg and 10_right.jpeg are one."""
        return number([Path(path).stem.partition("_")[0] for path in paths])
