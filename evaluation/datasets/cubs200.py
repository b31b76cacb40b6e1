"""CUBS-200: Caltech-UCSD Birds 200-2011, 200 species."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import listed, read_lines
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError


class Cubs200(Dataset):
    """Source: Wah et al. 2011. Its own split: 5,994 + 5,794."""

    name: ClassVar[str] = "cubs200"
    folders: ClassVar[tuple[str, ...]] = ("CUB_200_2011", "cubs200/CUB_200_2011")
    marks: ClassVar[tuple[str, ...]] = ("train_test_split.txt",)
    layout: ClassVar[str] = "images/, images.txt, image_class_labels.txt, classes.txt and train_test_split.txt"
    source: ClassVar[str] = "data.caltech.edu/records/65de6-vp158, CUB_200_2011.tgz, unpacked into the data folder"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the images that `train_test_split.txt` marks 1 (train) or 0 (test), in the order of their ids."""
        paths, labels, is_train, classes = (
            _by_id(root / f"{name}.txt") for name in ("images", "image_class_labels", "train_test_split", "classes")
        )
        if lost := sorted(paths.keys() ^ labels.keys() | paths.keys() ^ is_train.keys()):
            raise InvalidInputError(f"{root}: image {lost[0]} is not in each of the three lists; unpack the archive again")
        numbers = {str(n): i for i, n in enumerate(classes)}
        if unknown := sorted(set(labels.values()) - numbers.keys()):
            raise InvalidInputError(
                f"{root}: an image is of class {unknown[0]}, which is not in classes.txt; unpack the archive again"
            )
        wanted = "1" if split is Split.TRAIN else "0"
        ids = [i for i in paths if is_train[i] == wanted]
        return image_set(
            self.name,
            split,
            listed(root / "images", [paths[i] for i in ids]),
            np.array([numbers[labels[i]] for i in ids], np.int64),
            classes=tuple(classes.values()),
        )


def _by_id(path: Path) -> dict[int, str]:
    """Return what follows each line's number, by number."""
    try:
        return dict(sorted((int(n), rest.strip()) for n, _, rest in (line.partition(" ") for line in read_lines(path))))
    except ValueError:
        raise InvalidInputError(f"{path}: every line must start with a number; unpack the archive again") from None
