"""Caltech-101: 101 kinds of objects, 40 to 800 photographs each."""

from pathlib import Path
from typing import ClassVar

from evaluation.datasets.base import Dataset, Split, held_out
from evaluation.datasets.files import by_folder
from evaluation.datasets.image_set import ImageSet, image_set

_BACKGROUND = "BACKGROUND_Google"  # whatever a search engine returned: not a class


class Caltech101(Dataset):
    """Source: Fei-Fei, Fergus, Perona 2004. Published without a split; at most 20 images a class are held out here."""

    name: ClassVar[str] = "caltech101"
    folders: ClassVar[tuple[str, ...]] = (
        "101_ObjectCategories",
        "caltech101/101_ObjectCategories",
        "caltech-101/101_ObjectCategories",
    )
    marks: ClassVar[tuple[str, ...]] = ("accordion", "yin_yang")
    layout: ClassVar[str] = "one folder a class (accordion/image_0001.jpg, ...)"
    source: ClassVar[str] = "torchvision.datasets.Caltech101(DATA, download=True), or data.caltech.edu/records/mzrjq-6wc02"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return every class but the background."""
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name != _BACKGROUND)
        files, labels, classes = by_folder(root, names)
        return held_out(image_set(self.name, split, files, labels, classes=classes), split, n_test=20)
