"""Tiny ImageNet: 200 classes of ImageNet at 64 pixels; the small experiments' transfer set and out pool."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import by_folder, listed, read_lines
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError


class TinyImageNet(Dataset):
    """Source: Stanford CS231n 2015. TRAIN is train/ (100,000), TEST is val/ (10,000). Classes are named "n01443537 goldfish"."""

    name: ClassVar[str] = "tiny-imagenet-200"
    folders: ClassVar[tuple[str, ...]] = ("tiny-imagenet-200",)
    marks: ClassVar[tuple[str, ...]] = ("wnids.txt",)
    layout: ClassVar[str] = "wnids.txt, words.txt, train/n01443537/images/*.JPEG, val/images/ and val/val_annotations.txt"
    source: ClassVar[str] = "cs231n.stanford.edu/tiny-imagenet-200.zip, unpacked into the data folder"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return train/ by folder or val/ by its table; classes in the order of their WordNet ids."""
        wnids = sorted(read_lines(root / "wnids.txt"))
        words = dict(line.split("\t", 1) for line in read_lines(root / "words.txt") if "\t" in line)
        classes = tuple(f"{wnid} {words.get(wnid, wnid).split(',')[0]}" for wnid in wnids)
        if split is Split.TRAIN:
            files, labels, _ = by_folder(root / "train", wnids)
        else:
            order = {wnid: i for i, wnid in enumerate(wnids)}
            table = [line.split("\t") for line in read_lines(root / "val" / "val_annotations.txt")]
            if bad := [row for row in table if len(row) < 2 or row[1] not in order]:
                raise InvalidInputError(f"{root}/val/val_annotations.txt: {' '.join(bad[0])!r} names no class of wnids.txt")
            files = listed(root / "val" / "images", [row[0] for row in table])
            labels = np.array([order[row[1]] for row in table], np.int64)
        return image_set(self.name, split, files, labels, classes=classes)
