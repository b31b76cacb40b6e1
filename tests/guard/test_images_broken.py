"""Broken files of every format that is read: a picture or a sentence, never a foreign error, whatever the bytes."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from guard.errors import InvalidInputError
from guard.images import decode, size_of

SIDE = 16
N_MUTANTS = 80


def encode(kind: str, mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, format=kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def with_exif(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker"
    return encode(kind, exif=exif)


WHOLE = {
    "jpeg": encode("JPEG"), "jpeg, progressive": encode("JPEG", progressive=True), "jpeg, CMYK": encode("JPEG", "CMYK"),
    "jpeg, grey": encode("JPEG", "L"), "jpeg, turned": with_exif("JPEG"), "png": encode("PNG"),
    "png, palette": encode("PNG", "P"),
    "png, 16 bits": encode("PNG", "I;16"), "png, alpha": encode("PNG", "RGBA"), "png, one bit": encode("PNG", "1"),
    "png, turned": with_exif("PNG"), "bmp": encode("BMP"), "bmp, palette": encode("BMP", "P"), "webp": encode("WEBP"),
    "webp, lossless": encode("WEBP", lossless=True), "webp, animated": animated("WEBP"), "gif": encode("GIF", "P"),
    "gif, animated": animated("GIF"), "tiff": encode("TIFF"), "tiff, 16 bits": encode("TIFF", "I;16"),
    "tiff, lzw": encode("TIFF", compression="tiff_lzw"), "tiff, deflate": encode("TIFF", compression="tiff_adobe_deflate"),
    "tiff, jpeg": encode("TIFF", compression="jpeg"), "tiff, fax": encode("TIFF", "1", compression="group4"),
    "tiff, turned": with_exif("TIFF"), "ppm": encode("PPM"), "pgm": encode("PPM", "L"), "pgm, 16 bits": encode("PPM", "I;16"),
}  # fmt: skip


def mutants(content: bytes, seed: int, n: int) -> list[bytes]:
    """Return what damage makes of a file: ends cut off, bytes changed (the header's most), pieces removed, doubled or emptied."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        data = bytearray(content)
        start, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        match i % 5:
            case 0:
                del data[max(1, start) :]
            case 1:
                for where in rng.integers(0, min(len(data), 96), length):
                    data[where] = int(rng.integers(256))
            case 2:
                for where in rng.integers(0, len(data), length):
                    data[where] = int(rng.choice([0, 1, 127, 128, 254, 255]))
            case 3:
                data[start:start] = data[start : start + length] if i % 2 else bytes(length)
            case _:
                del data[start : start + length]
        made.append(bytes(data))
    return made


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_file_is_a_picture_or_refused_by_name(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    seed = list(WHOLE).index(kind)
    said = []
    for content in mutants(WHOLE[kind], seed, N_MUTANTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, of what it reads nevertheless
            try:
                pixels = decode(content, name="query 7", max_pixels=1 << 20)
            except InvalidInputError as error:
                said.append(str(error))
            else:
                assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert [line for line in said if not line.startswith("query 7 ") or "\n" in line] == []
    assert len(said) > N_MUTANTS // 20, "damage that nothing notices tests nothing"


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_file_of_every_kind_is_read(kind: str) -> None:
    assert decode(WHOLE[kind]).shape == (SIDE, SIDE, 3)
    assert size_of(WHOLE[kind]) == (SIDE, SIDE)
