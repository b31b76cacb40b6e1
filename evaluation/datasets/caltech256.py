"""Caltech-256: 256 kinds of objects, 80 photographs and more each."""

from pathlib import Path
from typing import ClassVar

from evaluation.datasets.base import Dataset, Split, held_out
from evaluation.datasets.files import by_folder
from evaluation.datasets.image_set import ImageSet, image_set

_CLUTTER = "257.clutter"  # what fits nowhere else: not a class


class Caltech256(Dataset):
    """Source: Griffin, Holub, Perona 2007. Published without a split; 25 images a class are held out, as Orekondy et al. do.

    That makes 23,380 + 6,400 without the clutter; Atli et al. count 23,703 + 6,904, which is the archive with the clutter in it.
    """

    name: ClassVar[str] = "caltech256"
    folders: ClassVar[tuple[str, ...]] = (
        "256_ObjectCategories",
        "caltech256/256_ObjectCategories",
        "caltech-256/256_ObjectCategories",
    )
    marks: ClassVar[tuple[str, ...]] = ("001.ak47", "256.toad")
    layout: ClassVar[str] = "one folder a class (001.ak47/001_0001.jpg, ...)"
    source: ClassVar[str] = "torchvision.datasets.Caltech256(DATA, download=True), or data.caltech.edu/records/nyy15-4j048"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return every class but the clutter."""
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name != _CLUTTER)
        files, labels, classes = by_folder(root, names)
        return held_out(image_set(self.name, split, files, labels, classes=classes), split, n_test=25)
