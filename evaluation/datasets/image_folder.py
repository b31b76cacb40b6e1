"""ImageFolder: anybody's own images, one folder a class, as torchvision reads them."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import by_folder
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError

_TEST = ("test", "val", "validation")


class ImageFolder(Dataset):
    """train/<class>/*.jpg and test/ (or val/) beside it. A class that the training has and the test lacks keeps its number."""

    name: ClassVar[str] = "image-folder"
    folders: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[tuple[str, ...]] = ("train",)
    layout: ClassVar[str] = "train/<class>/*.jpg and test/<class>/*.jpg"
    source: ClassVar[str] = "sort your images into one folder a class"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the images of train/, or of the first of test/, val/, validation/ that exists."""
        names = sorted(p.name for p in (root / "train").iterdir() if p.is_dir())
        folder = next((root / n for n in (("train",) if split is Split.TRAIN else _TEST) if (root / n).is_dir()), None)
        if folder is None:
            raise InvalidInputError(
                f"{root} has none of {', '.join(f'{n}/' for n in _TEST)}; put the test images there, by class"
            )
        present = [n for n in names if (folder / n).is_dir()]
        if new := sorted({p.name for p in folder.iterdir() if p.is_dir()} - set(names)):
            raise InvalidInputError(f"{folder / new[0]} is a class that {root / 'train'} does not have")
        files, labels, _ = by_folder(folder, present)
        numbers = np.array([names.index(n) for n in present], np.int64)
        return image_set(self.name, split, files, numbers[labels], classes=tuple(names))
