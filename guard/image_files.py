"""What a JPEG or PNG file is made of, read before a decoder makes objects of it: hostile ones cost little to send, much to open.

Sources: ITU-T T.81 (JPEG) annex B, PNG specification chapter 5, TIFF 6.0 section 2 for EXIF.
"""

import struct

MAX_SCANS = 64  # an ordinary progressive JPEG has about ten; each is a pass over all of its pixels
MAX_PARTS = 16_384  # segments or chunks: a file of 32 MiB in the usual chunks of 8 KiB has a quarter of these
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN = 0xDA
_EXIF = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by its type


def excess(content: bytes) -> str:
    """Return what a JPEG or PNG has too much of, in words; nothing where it is within bounds, or is neither."""
    if content.startswith(_JPEG):
        if (n_scans := content.count(b"\xff\xda")) > MAX_SCANS:
            return f"{n_scans} scans; at most {MAX_SCANS} are decoded"
        if _too_many_segments(content):
            return f"more than {MAX_PARTS} segments"
    if content.startswith(_PNG) and _too_many_chunks(content):
        return f"more than {MAX_PARTS} chunks"
    return ""


def exif_is_sane(block: bytes) -> bool:
    """Whether an EXIF block's own values fit into it: entries that all claim the same bytes would be copied for each."""
    block = block.removeprefix(_EXIF)
    order = _ORDERS.get(block[:4])
    if order is None:
        return False
    try:
        (start,) = struct.unpack_from(f"{order}L", block, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", block, start)
        entries = [struct.unpack_from(f"{order}HHL", block, start + 2 + 12 * i) for i in range(n_entries)]
    except struct.error:
        return False
    return bool(sum(_WIDTHS.get(kind, 0) * count for _, kind, count in entries) <= len(block))


def _too_many_segments(content: bytes) -> bool:
    """Walk the segments before the first scan."""
    position = len(_JPEG)
    for _ in range(MAX_PARTS):
        if content[position : position + 1] != b"\xff" or content[position + 1 : position + 2] in (b"", bytes([_START_OF_SCAN])):
            return False
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        position += 2 + max(length, 2)
    return True


def _too_many_chunks(content: bytes) -> bool:
    position = len(_PNG)
    for _ in range(MAX_PARTS):
        if position >= len(content):
            return False
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    return True
