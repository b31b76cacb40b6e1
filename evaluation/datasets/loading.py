"""Sets by name."""

from pathlib import Path

from evaluation.datasets.base import Split
from evaluation.datasets.image_set import ImageSet
from evaluation.datasets.registry import DATASETS


def load(name: str, data: Path, split: Split | str = Split.TRAIN) -> ImageSet:
    """Return a split of a registered set from the folder `data`.

    ConfigError if no set goes by that name, InvalidInputError if its files are not there or broken.
    """
    return DATASETS.get(name)().load(data, Split(split))
