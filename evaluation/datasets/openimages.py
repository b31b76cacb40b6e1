"""OpenImages: photographs from Flickr; a second out pool to test on."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import Files
from evaluation.datasets.image_set import UNLABELLED, ImageSet, image_set
from guard.images import find


class OpenImages(Dataset):
    """Source: Kuznetsova et al. 2020. Only a test split, and no labels: a photograph has several, and an out pool needs none."""

    name: ClassVar[str] = "openimages"
    splits: ClassVar[tuple[Split, ...]] = (Split.TEST,)
    folders: ClassVar[tuple[str, ...]] = ("open-images", "openimages", "open-images-v4", "open-images-v7")
    marks: ClassVar[tuple[str, ...]] = ("test", "validation")
    layout: ClassVar[str] = "test/ or validation/ with 0a1b2c3d4e5f6a7b.jpg, ..."
    source: ClassVar[str] = (
        "aws s3 sync --no-sign-request s3://open-images-dataset/test DATA/open-images/test (36 GB; a part will do)"
    )

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return what test/ holds, or else validation/, in the order of their ids."""
        folder = next(root / mark for mark in self.marks if (root / mark).is_dir())
        files = Files(tuple(find(folder)))
        return image_set(self.name, split, files, np.full(len(files), UNLABELLED), classes=())
