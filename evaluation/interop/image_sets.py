"""Image sets from what other libraries hold in memory: a Hugging Face `Dataset`, or a torchvision data set such as `ImageFolder`.

Neither library is imported: the object at hand brings it along.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation.datasets.files import Files
from evaluation.datasets.image_set import UNLABELLED, ImageSet, image_set
from guard.errors import InvalidInputError
from guard.types import Ints, Pixels


def from_hugging_face(dataset: Any, *, name: str, split: str = "train") -> ImageSet:
    """Return a `datasets.Dataset` as an image set: its first image column, and its first column of class labels where it has one.

    Images stay encoded until they are asked for. InvalidInputError if it has no column of images, or is a dict of splits.
    """
    datasets = import_module("datasets")
    if not isinstance(dataset, datasets.Dataset):
        raise InvalidInputError(
            f"{name} is a {type(dataset).__name__}; give one split of it, a datasets.Dataset that is not streamed"
        )
    columns = {
        kind: [c for c, f in dataset.features.items() if isinstance(f, kind)] for kind in (datasets.Image, datasets.ClassLabel)
    }
    images, labels = columns[datasets.Image], columns[datasets.ClassLabel]
    if not images:
        raise InvalidInputError(f"{name} has no column of images; it has {', '.join(dataset.features)}")
    rows = _HuggingFaceRows(dataset.with_format(None).cast_column(images[0], datasets.Image(decode=False)), images[0])
    if not labels:
        return image_set(name, split, rows, np.full(len(rows), UNLABELLED, np.int64), classes=())
    numbers = [UNLABELLED if label is None else label for label in dataset.with_format(None)[labels[0]]]
    return image_set(name, split, rows, np.array(numbers, np.int64), classes=tuple(dataset.features[labels[0]].names))


@dataclass(frozen=True, slots=True)
class _HuggingFaceRows:
    """Encoded images of a column that does not decode; a row that is no more than a path is read from there."""

    dataset: Any
    column: str

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int, /) -> bytes:
        found = self.dataset[row][self.column] or {}
        if found.get("bytes") is None and found.get("path"):
            return Files((Path(found["path"]),))[0]
        return found.get("bytes") or b""


def from_torchvision(dataset: Any, *, name: str, split: str = "train") -> ImageSet:
    """Return a torchvision data set of (PIL image, class number) as an image set; of an `ImageFolder` the files themselves.

    InvalidInputError if it transforms: what is done to images is the experiment's to say, alike for all sets.
    """
    transforms = [n for n in ("transform", "target_transform", "transforms") if getattr(dataset, n, None) is not None]
    if transforms:
        raise InvalidInputError(
            f"{name} has a {transforms[0]}; make the data set without one, images are resized and scaled here"
        )
    classes = tuple(str(c) for c in getattr(dataset, "classes", ()))
    if samples := getattr(dataset, "samples", None):
        files = Files(tuple(Path(path) for path, _ in samples))
        return image_set(name, split, files, np.array([label for _, label in samples], np.int64), classes=classes)
    rows = _TorchvisionRows(dataset)
    labels = _targets(dataset)
    return image_set(name, split, rows, labels, classes=classes or tuple(str(c) for c in range(int(labels.max(initial=-1)) + 1)))


@dataclass(frozen=True, slots=True)
class _TorchvisionRows:
    """Images that the data set decodes itself."""

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int, /) -> Pixels:
        image = self.dataset[row][0]
        if not isinstance(image, Image.Image):
            raise InvalidInputError(f"row {row} is a {type(image).__name__}; the data set must give PIL images")
        return np.asarray(image.convert("RGB"))


def _targets(dataset: Any) -> Ints:
    known = next((found for n in ("targets", "labels") if (found := getattr(dataset, n, None)) is not None), None)
    return np.asarray([dataset[i][1] for i in range(len(dataset))] if known is None else known, np.int64)
