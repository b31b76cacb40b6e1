"""Anybody's set from Hugging Face, as its `datasets` saves it to disk; pyarrow reads it, and nothing is asked of the hub."""

from pathlib import Path
from typing import ClassVar

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.image_set import ImageSet, image_set
from evaluation.datasets.parquet import read_tables
from guard.errors import InvalidInputError
from guard.tables import find_tables

_NAMES = {Split.TRAIN: ("train",), Split.TEST: ("test", "validation", "val")}


class HuggingFace(Dataset):
    """A `DatasetDict` with a column `image` (or `img`) and `label`; its test split is `test`, else `validation` or `val`."""

    name: ClassVar[str] = "hugging-face"
    folders: ClassVar[tuple[str, ...]] = ("hugging-face",)
    marks: ClassVar[tuple[str, ...]] = ("dataset_dict.json",)
    layout: ClassVar[str] = "dataset_dict.json and a folder each for train and test"
    source: ClassVar[str] = "datasets.load_dataset(NAME).save_to_disk('hugging-face')"

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the split; InvalidInputError if there is none of its names, or no image in it."""
        folder = next((root / n for n in _NAMES[split] if (root / n).is_dir()), None)
        if folder is None:
            raise InvalidInputError(
                f"{root} has none of the splits {', '.join(_NAMES[split])}; rename one before saving the dataset"
            )
        if not (tables := find_tables(folder)):
            raise InvalidInputError(f"{folder} holds no dataset; save it to disk again")
        found = read_tables(tables)
        return image_set(self.name, split, found.images, found.labels, classes=found.classes)
