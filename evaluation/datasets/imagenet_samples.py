"""ImageNet samples: one image of each of ImageNet's 1,000 classes; a second pool to test on, never to train on."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import Files
from evaluation.datasets.image_set import ImageSet, image_set


class ImageNetSamples(Dataset):
    """Source: the repository imagenet-sample-images of E. Schwartz. Only a test split, so that nothing can fit on it."""

    name: ClassVar[str] = "imagenet-samples-1000"
    splits: ClassVar[tuple[Split, ...]] = (Split.TEST,)
    folders: ClassVar[tuple[str, ...]] = ("imagenet-sample-images", "imagenet-samples-1000")
    marks: ClassVar[tuple[str, ...]] = ("n01440764_tench.JPEG",)
    layout: ClassVar[str] = "n01440764_tench.JPEG, ..., one file a class"
    source: ClassVar[str] = "git clone https://github.com/EliSchwartz/imagenet-sample-images in the data folder"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the images in the order of their names; each is a class."""
        paths = tuple(sorted(root.glob("n*_*.JPEG")))
        classes = tuple(path.stem for path in paths)
        return image_set(self.name, split, Files(paths), np.arange(len(paths), dtype=np.int64), classes=classes)
