"""Images from outside: folders, Parquet, bytes. Everything is RGB uint8 before anything else sees it.

Sizes are bounded before memory is taken: a file's bytes by its length, a picture's pixels by its header.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from guard.errors import InvalidInputError
from guard.tables import find_tables, read_batches
from guard.types import Pixels

MAX_BYTES = 32 << 20
MAX_PIXELS = 50_000_000
MAX_SCANS = 64  # of one JPEG; progressive ones have about ten, and each is a pass over all pixels that costs a sender ten bytes
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One image as it was found: a name for messages, its bytes, and its class where the source tells."""

    name: str
    content: bytes
    label: str | None


def decode(
    content: bytes,
    *,
    name: str = "image",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    formats: tuple[str, ...] = FORMATS,
) -> Pixels:
    """Return (height, width, 3) uint8 RGB; InvalidInputError if the bytes are no image of these formats, cut short, or too large.

    Transparency is dropped, 16-bit greys keep their upper 8, and a camera's note on which way is up is not followed. Safe to call
    from several threads.
    """
    with _opened(content, name=name, max_bytes=max_bytes, formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise InvalidInputError(
                f"{name} has {image.width} x {image.height} pixels; at most {max_pixels} are decoded, so reduce it first"
            )
        return _rgb(image, name=name)


def n_pixels(content: bytes, *, name: str = "image", max_bytes: int = MAX_BYTES, formats: tuple[str, ...] = FORMATS) -> int:
    """Return how many pixels an image says it has, from its header alone; InvalidInputError as `decode` has it."""
    with _opened(content, name=name, max_bytes=max_bytes, formats=formats) as image:
        return image.width * image.height


@contextmanager
def _opened(content: bytes, *, name: str, max_bytes: int, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Yield an image of which no more than the header was read; whatever goes wrong in the block becomes InvalidInputError."""
    if len(content) > max_bytes:
        raise InvalidInputError(f"{name} has {len(content)} bytes; an image may have at most {max_bytes}")
    if content.startswith(b"\xff\xd8") and (n_scans := content.count(b"\xff\xda")) > MAX_SCANS:
        raise InvalidInputError(f"{name} is a JPEG of {n_scans} scans; at most {MAX_SCANS} are decoded, so save it anew")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            yield image
    except InvalidInputError:
        raise
    except UnidentifiedImageError:
        raise InvalidInputError(f"{name} is not an image that can be read; known are {', '.join(formats)}") from None
    except Exception as error:  # decoders on hostile bytes raise what they like: OSError, struct.error, IndexError and more
        raise InvalidInputError(f"{name} cannot be decoded ({str(error)[:200]}); replace or remove it") from None


def _rgb(image: Image.Image, *, name: str) -> Pixels:
    if image.mode in ("I", "F"):
        raise InvalidInputError(f"{name} has pixels of 32 bits, whose white is not known; save it with 8 bits a channel")
    if image.mode.startswith("I;16"):  # Pillow would cut every level above 255 to white
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


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
    """Return the image files below a folder, or the tables that `source` is (see `guard.tables`), in a fixed order.

    InvalidInputError if there is nothing of the kind. Hidden files and links that lead out of the folder are passed over.
    """
    if tables := find_tables(source):
        return tables
    if not source.is_dir():
        raise InvalidInputError(f"{source} is neither a folder of images nor a .parquet or .arrow file")
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
    """Yield the images of a folder (class = name of the folder that an image lies in) or of tables, one by one."""
    for path in find(source):
        if path.suffix not in SUFFIXES:
            yield from _read_table(path)
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


def _read_table(path: Path) -> Iterator[Encoded]:
    row = 0
    try:
        for batch in read_batches(path):
            column = batch.schema.names[0]
            for item in batch.to_pylist():
                content = item[column]["bytes"] if isinstance(item[column], dict) else item[column]
                if not isinstance(content, bytes):
                    raise InvalidInputError(
                        f"{path} row {row} holds no image bytes, or only a path; write the table with the bytes"
                    )
                label = item.get("label")
                yield Encoded(f"{path.name} row {row}", content, None if label is None else str(label))
                row += 1
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:  # pyarrow's own errors are among these
        raise InvalidInputError(f"{path} is not a table of images that can be read ({error})") from None
