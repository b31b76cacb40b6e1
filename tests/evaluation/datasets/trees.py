"""Images and pickles as the published archives hold them."""

import io
import pickle
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

Put = Callable[..., None]


def picture(seed: int, *, size: tuple[int, int] = (12, 16), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(file, format=kind)
    return file.getvalue()


class _Python2Pickler(pickle._Pickler):  # type: ignore[misc, name-defined]
    """Writes byte strings as Python 2 did."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def save_bytes(self, obj: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(obj)) + obj)
        self.memoize(obj)

    dispatch[bytes] = save_bytes


def python2_pickle(content: object) -> bytes:
    """Return `content` as Python 2 and NumPy 1 wrote it, which made the published batches of CIFAR-10."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")
