"""Images from outside: folders, Parquet, bytes. Everything is RGB uint8 before anything else sees it.

Sizes are bounded before memory is taken: a file's bytes by its length, a picture's pixels by its header.
"""

import io
import math
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from guard.errors import InvalidInputError
from guard.image_files import excess, exif_is_sane
from guard.tables import cell_bytes, find_tables, read_rows
from guard.types import Pixels

MAX_BYTES = 32 << 20
MAX_PIXELS = 50_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
_WIDE_FORMATS = frozenset({"PNG", "PPM"})  # where Pillow's mode "I" means levels of 16 bits
_MOST_OF_16_BITS = 65535
_ORIENTATION = 0x0112  # EXIF's tag; what its values ask for is in its specification's table
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    """Return (height, width, 3) uint8 RGB; InvalidInputError if the bytes are no image of these formats, cut short or too large.

    As `datasets` and torchvision's loaders do it, since victims were trained on what those gave: the camera's orientation is
    applied, transparency is dropped and the colours beneath it stay, of an animation or a file of pages the first picture
    counts, CMYK is converted without a colour profile. Grey of 16 bits is scaled to 8, where Pillow alone would cut off at 255;
    of 32 bits it is refused, since no level of it is known to be white. Safe to call from several threads.
    """
    with _opened(content, name=name, max_bytes=max_bytes, formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise InvalidInputError(
                f"{name} has {image.width} x {image.height} pixels; at most {max_pixels} are decoded, so reduce it first"
            )
        image.load()
        upright = _eight_bits(_upright(image), name)
        upright.info.pop("transparency", None)  # or Pillow looks for a colour that stands for it, and warns
        return np.asarray(upright.convert("RGB"))


def size_of(
    content: bytes, *, name: str = "image", max_bytes: int = MAX_BYTES, formats: tuple[str, ...] = FORMATS
) -> tuple[int, int]:
    """Return (height, width) as the header has them, before orientation; InvalidInputError as `decode` has it."""
    with _opened(content, name=name, max_bytes=max_bytes, formats=formats) as image:
        return image.height, image.width


def n_pixels(content: bytes, *, name: str = "image", max_bytes: int = MAX_BYTES, formats: tuple[str, ...] = FORMATS) -> int:
    """Return how many pixels an image says it has, from its header alone; InvalidInputError as `decode` has it."""
    return math.prod(size_of(content, name=name, max_bytes=max_bytes, formats=formats))


@contextmanager
def _opened(content: bytes, *, name: str, max_bytes: int, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Yield an image of which no more than the header was read; whatever goes wrong in the block becomes InvalidInputError."""
    if len(content) > max_bytes:
        raise InvalidInputError(f"{name} has {len(content)} bytes; an image may have at most {max_bytes}")
    if too_much := excess(content):
        raise InvalidInputError(f"{name} has {too_much}, so save it anew")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            yield image
    except InvalidInputError:
        raise
    except UnidentifiedImageError:
        raise InvalidInputError(f"{name} is not an image that can be read; known are {', '.join(formats)}") from None
    except Exception as error:  # decoders on hostile bytes raise what they like: OSError, struct.error, IndexError and more
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise InvalidInputError(f"{name} cannot be decoded ({reason}); replace or remove it") from None


def _upright(image: Image.Image) -> Image.Image:
    block = image.info.get("exif")
    if isinstance(block, bytes) and not exif_is_sane(block):
        return image
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block spoils no pixel
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _WIDE_FORMATS):
        levels = np.asarray(image).astype(np.int64).clip(0, _MOST_OF_16_BITS)
        return Image.fromarray(((levels * 255 + _MOST_OF_16_BITS // 2) // _MOST_OF_16_BITS).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise InvalidInputError(
            f"{name} has levels of 32 bits or with a sign: none of them is known as white; convert it to 8 bits"
        )
    return image


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return one (h, w, 3) image at (height, width), bilinear, antialiased when it shrinks."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def cropped(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the largest centred part of one (h, w, 3) image that has the shape of (height, width), at its own resolution."""
    height, width = pixels.shape[:2]
    tall, wide = min(height, width * size[0] // size[1]), min(width, height * size[1] // size[0])
    tall, wide = max(tall, 1), max(wide, 1)  # of an image a hundred times as long as it is wide
    top, left = (height - tall) // 2, (width - wide) // 2
    return pixels[top : top + tall, left : left + wide]


def reencode(pixels: Pixels, *, quality: int) -> Pixels:
    """Return one (h, w, 3) image after JPEG at `quality` (1 to 95), chroma halved in both directions, and back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


def find(source: Path) -> list[Path]:
    """Return the image files below a folder, or the tables that `source` is (see `guard.tables`), in a fixed order.

    InvalidInputError if there is nothing of the kind. Hidden files and links that lead out of the folder are passed over, see
    `links_passed_over`.
    """
    if tables := find_tables(source):
        return tables
    if not source.is_dir():
        raise InvalidInputError(f"{source} is neither a folder of images nor a .parquet or .arrow file")
    found, n_links = _below(source)
    if not found:
        links = f"; {n_links} links there lead out of it or nowhere and are not followed, so copy the files" if n_links else ""
        raise InvalidInputError(f"{source} holds no image; looked below it for {', '.join(sorted(SUFFIXES))}{links}")
    return found


def links_passed_over(source: Path) -> int:
    """Return how many links to folders and images below a folder lead out of it or nowhere, and are not read."""
    return _below(source)[1] if source.is_dir() and not find_tables(source) else 0


def _below(folder: Path) -> tuple[list[Path], int]:
    """Return the image files below a folder, and how many links are passed over."""
    root = folder.resolve()
    found, n_links = [], 0
    for path in sorted(folder.rglob("*")):
        image = path.suffix.lower() in SUFFIXES
        if path.name.startswith(".") or not (image or path.is_symlink()):
            continue
        # Looked at first: a link that leads to itself cannot be resolved.
        within = (path.is_file() or path.is_dir()) and path.resolve().is_relative_to(root)
        if path.is_symlink() and not within and (image or path.is_dir()):
            n_links += 1
        elif image and within and path.is_file():
            found.append(path)
    return found, n_links


def read(source: Path, *, only: Container[int] | None = None) -> Iterator[Encoded]:
    """Yield the images of a folder (class = name of the folder that an image lies in) or of tables, one by one.

    With `only` the images at these places in that order, counted from 0; the others are passed over. InvalidInputError names the
    file, or the file and the row, that cannot be read.
    """
    place = 0
    for path in find(source):
        if path.suffix.lower() in SUFFIXES:
            if only is None or place in only:
                yield Encoded(str(path), _bytes_of(path), path.parent.name if path.parent != source else None)
            place += 1
            continue
        for row, (cell, label) in enumerate(read_rows(path)):
            if only is None or place in only:
                name, known = f"{path} row {row}", label is not None and label.is_valid
                yield Encoded(name, cell_bytes(cell, where=name, max_bytes=MAX_BYTES), str(label.as_py()) if known else None)
            place += 1
    if not place:
        raise InvalidInputError(f"{source} holds no image: it has 0 rows")


def _bytes_of(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise InvalidInputError(f"{path} has {size} bytes; an image may have at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}); see who may read it, or remove it") from None
