"""Files that cost little to send and much to open are told by their parts, and ordinary ones pass."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from guard.errors import InvalidInputError
from guard.image_files import MAX_PARTS, excess, exif_is_sane
from guard.images import decode

PIXELS = np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)


def saved(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format=kind, **how)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def exif(entries: list[tuple[int, int, int, int]], order: str = "<", spare: int = 0) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    table = b"".join(struct.pack(f"{order}HHLL", *entry) for entry in entries)
    return head + struct.pack(f"{order}LH", 8, len(entries)) + table + bytes(4 + spare)


def png_with(part: bytes) -> bytes:
    plain = saved("PNG")
    return plain[:33] + part + plain[33:]  # after the header


@pytest.mark.parametrize(
    "content", [saved("JPEG"), saved("JPEG", progressive=True), saved("PNG"), saved("GIF"), b"", b"\xff\xd8"]
)
def test_ordinary_files_have_nothing_too_much(content: bytes) -> None:
    assert excess(content) == ""


HOSTILE = {
    "segments": (saved("JPEG")[:2] + b"\xff\xe5\x00\x02" * (MAX_PARTS + 1) + saved("JPEG")[2:], "segments"),
    "segments of no length": (b"\xff\xd8" + b"\xff\xe5\x00\x00" * (MAX_PARTS + 1), "segments"),
    "chunks": (png_with(chunk(b"teSt", b"") * (MAX_PARTS + 1)), "chunks"),
    "scans": (saved("JPEG") + b"\xff\xda" * 65, "scans"),
}


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE)
def test_file_of_endless_parts_is_refused_before_it_is_opened(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"it has .*{said}.*save it anew"):
        decode(content, name="it")


def test_exif_that_copies_its_bytes_for_each_entry_is_passed_over() -> None:
    block = exif([(1000 + i, 7, 100_000, 8) for i in range(500)], spare=100_000)
    assert not exif_is_sane(block)
    np.testing.assert_array_equal(decode(png_with(chunk(b"eXIf", block))), PIXELS)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_of_a_plain_block_is_applied(order: str) -> None:
    value = 6 if order == "<" else 6 << 16
    block = exif([(0x0112, 3, 1, value)], order)
    assert exif_is_sane(block)
    assert exif_is_sane(b"Exif\0\0" + block)
    np.testing.assert_array_equal(decode(png_with(chunk(b"eXIf", block))), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II+\0" + bytes(20), exif([(1, 3, 1, 0)])[:-10]])
def test_broken_blocks_are_no_reason_to_look_further(block: bytes) -> None:
    assert not exif_is_sane(block)
