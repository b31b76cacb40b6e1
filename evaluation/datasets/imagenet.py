"""ImageNet (ILSVRC 2012): 1,000 classes; the adversary's pool and the detector's."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.files import by_folder, listed, read_lines, read_table
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError

_SOLUTION, _SYNSETS = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
_DATA = "Data/CLS-LOC"  # in Kaggle's archive; torchvision's layout starts at train/ and val/


class ImageNet(Dataset):
    """Source: Russakovsky et al. 2015. TRAIN is train/, TEST is val/ (the test images have no public labels).

    Classes are named "n01440764 tench" where the archive's list of synsets is there, else "n01440764".
    """

    name: ClassVar[str] = "imagenet"
    folders: ClassVar[tuple[str, ...]] = ("ILSVRC", "imagenet", "ILSVRC2012")
    marks: ClassVar[tuple[str, ...]] = (f"{_DATA}/train", "train/n01440764", "val/n01440764")
    beside: ClassVar[tuple[str, ...]] = (_SOLUTION, _SYNSETS)
    layout: ClassVar[str] = (
        "Data/CLS-LOC/train/n01440764/*.JPEG, Data/CLS-LOC/val/*.JPEG and LOC_val_solution.csv, LOC_synset_mapping.txt beside "
        "(or train/ and val/ with a folder a class)"
    )
    source: ClassVar[str] = (
        "kaggle competitions download -c imagenet-object-localization-challenge, or image-net.org after registration"
    )

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return train/, by folder, or val/, by folder or by Kaggle's table."""
        data = root / _DATA if (root / _DATA).is_dir() else root
        folder = data / ("train" if split is Split.TRAIN else "val")
        wnids = sorted(p.name for p in (data / "train").glob("n*") if p.is_dir()) or sorted(p.name for p in folder.glob("n*"))
        solution = _beside(root, _SOLUTION)
        if split is Split.TEST and not any(folder.glob("n*/")) and solution:
            rows = read_table(solution, ("ImageId", "PredictionString"))
            order = {wnid: i for i, wnid in enumerate(wnids)}
            found = [row["PredictionString"].split()[0] for row in rows]
            if unknown := sorted(set(found) - set(wnids)):
                raise InvalidInputError(f"{solution} names class {unknown[0]}, which has no folder in {data / 'train'}")
            files = listed(folder, [f"{row['ImageId']}.JPEG" for row in rows])
            labels = np.array([order[wnid] for wnid in found], np.int64)
        else:
            files, labels, _ = by_folder(folder, wnids)
        return image_set(self.name, split, files, labels, classes=_named(root, wnids))


def _named(root: Path, wnids: list[str]) -> tuple[str, ...]:
    mapping = _beside(root, _SYNSETS)
    names = dict(line.split(" ", 1) for line in read_lines(mapping) if " " in line) if mapping else {}
    return tuple(f"{wnid} {names[wnid].split(',')[0]}" if wnid in names else wnid for wnid in wnids)


def _beside(root: Path, name: str) -> Path | None:
    """Kaggle unpacks its tables beside ILSVRC/, users often move them into it."""
    return next((path for path in (root / name, root.parent / name) if path.is_file()), None)
