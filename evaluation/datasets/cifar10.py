"""CIFAR-10: ten kinds of animals and vehicles at 32 pixels, in pickles that are read without running what they say."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evaluation.datasets.base import Dataset, Split
from evaluation.datasets.image_set import ImageSet, image_set
from guard.errors import InvalidInputError
from guard.types import Pixels

_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = ("test_batch",)
_SIDE = 32
# Everything that an array in a pickle needs; by the names of NumPy 1, which wrote the published files, and of NumPy 2.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


@dataclass(frozen=True, slots=True)
class Stack:
    """Images that are decoded already: (n, h, w, 3) uint8."""

    pixels: Pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int, /) -> Pixels:
        image: Pixels = self.pixels[row]
        return image


class Cifar10(Dataset):
    """Source: Krizhevsky 2009. Its own split: 50,000 + 10,000."""

    name: ClassVar[str] = "cifar10"
    folders: ClassVar[tuple[str, ...]] = ("cifar-10-batches-py", "cifar10/cifar-10-batches-py")
    marks: ClassVar[tuple[str, ...]] = ("batches.meta",)
    layout: ClassVar[str] = "batches.meta, data_batch_1 to data_batch_5 and test_batch"
    source: ClassVar[str] = (
        "torchvision.datasets.CIFAR10(DATA, download=True), or www.cs.toronto.edu/~kriz/cifar.html (python version)"
    )

    def read(self, root: Path, split: Split) -> ImageSet:
        """Return the images of the split's batches, in their order."""
        parts = [_read_batch(root / name) for name in (_TRAIN if split is Split.TRAIN else _TEST)]
        pixels = np.concatenate([pixels for pixels, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        classes = tuple(name.decode() for name in _unpickle(root / "batches.meta", b"label_names"))
        return image_set(self.name, split, Stack(pixels), labels, classes=classes)


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays, numbers, strings and containers of them. A pickle that names anything else is refused, not run."""

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR-10 file does")
        return _ALLOWED[module, name]


def _read_batch(path: Path) -> tuple[Pixels, np.ndarray]:
    """Return (n, 32, 32, 3) uint8 and (n,) int64; the file holds channels as planes, one image a row."""
    planes: Pixels = np.asarray(_unpickle(path, b"data"))
    labels = np.asarray(_unpickle(path, b"labels"), np.int64)
    if planes.dtype != np.uint8 or planes.shape != (len(labels), 3 * _SIDE**2):
        raise InvalidInputError(f"{path}: data are {planes.dtype} {planes.shape}, not uint8 ({len(labels)}, {3 * _SIDE**2})")
    return planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1), labels


def _unpickle(path: Path, key: bytes) -> Any:
    """Return one entry of a batch; InvalidInputError if the file is missing, broken, or not only arrays."""
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="bytes").load()[key]
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}); unpack cifar-10-python.tar.gz again") from None
    except Exception as error:  # a broken pickle may raise nearly anything
        raise InvalidInputError(f"{path} is not a batch of CIFAR-10 ({error}); unpack cifar-10-python.tar.gz again") from None
