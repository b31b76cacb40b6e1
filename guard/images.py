"""Images from outside: folders, Parquet, bytes. Everything is RGB uint8 before anything else sees it.

Sizes are bounded before memory is taken: a file's bytes by its length, a picture's pixels by its header.
"""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from guard.errors import InvalidInputError
from guard.types import Pixels

MAX_BYTES = 32 << 20
MAX_PIXELS = 50_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One image as it was found: a name for messages, its bytes, and its class where the source tells."""

    name: str
    content: bytes
    label: str | None


def decode(content: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return (height, width, 3) uint8 RGB; InvalidInputError if the bytes are no image, cut short, or too large."""
    if len(content) > MAX_BYTES:
        raise InvalidInputError(f"{name} has {len(content)} bytes; an image may have at most {MAX_BYTES}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise InvalidInputError(
                        f"{name} has {image.width} x {image.height} pixels; at most {max_pixels} are decoded, so reduce it first"
                    )
                return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise InvalidInputError(f"{name} is not an image that can be read; known are {', '.join(_FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(f"{name} cannot be decoded ({error}); replace or remove it") from None


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return one (h, w, 3) image at (height, width), bilinear, antialiased when it shrinks."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def reencode(pixels: Pixels, *, quality: int) -> Pixels:
    """Return one (h, w, 3) image after JPEG at `quality` (1 to 95), chroma halved in both directions, and back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


def find(source: Path) -> list[Path]:
    """Return the image files below a folder, or the Parquet file itself, in a fixed order.

    InvalidInputError if there is nothing of the kind. Hidden files and links that lead out of the folder are passed over.
    """
    if source.is_file() and source.suffix == ".parquet":
        return [source]
    if not source.is_dir():
        raise InvalidInputError(f"{source} is neither a folder of images nor a .parquet file")
    root = source.resolve()
    found = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.resolve().is_relative_to(root)
    ]
    if not found:
        raise InvalidInputError(f"{source} holds no image; looked below it for {', '.join(sorted(SUFFIXES))}")
    return [path for path in found if path.is_file()]


def read(source: Path) -> Iterator[Encoded]:
    """Yield the images of a folder (class = name of the folder that an image lies in) or of a Parquet file, one by one."""
    for path in find(source):
        if path.suffix == ".parquet":
            yield from _read_parquet(path)
            continue
        if (size := path.stat().st_size) > MAX_BYTES:
            raise InvalidInputError(f"{path} has {size} bytes; an image may have at most {MAX_BYTES}")
        label = path.parent.name if path.parent != source else None
        yield Encoded(str(path), path.read_bytes(), label)


def load(source: Path, size: tuple[int, int]) -> tuple[Pixels, list[str | None]]:
    """Return (n, height, width, 3) uint8 at one size, and n classes where the source tells."""
    rows, labels = [], []
    for item in read(source):
        rows.append(resize(decode(item.content, name=item.name), size))
        labels.append(item.label)
    return np.stack(rows), labels


def _read_parquet(path: Path) -> Iterator[Encoded]:
    """Hugging Face's layout: `image` = struct{bytes, path}, and `label` where there is one."""
    from pyarrow import parquet  # an extra: a gateway has no need of it

    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if "image" not in names:
            raise InvalidInputError(f"{path} has no column 'image'; it has {', '.join(names)}")
        columns = ["image", "label"] if "label" in names else ["image"]
        row = 0
        for batch in file.iter_batches(batch_size=512, columns=columns):
            for item in batch.to_pylist():
                content = item["image"]["bytes"] if isinstance(item["image"], dict) else item["image"]
                label = item.get("label")
                yield Encoded(f"{path.name} row {row}", content, None if label is None else str(label))
                row += 1
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise InvalidInputError(f"{path} is not a Parquet file that can be read ({error})") from None
