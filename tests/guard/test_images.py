"""Images from outside: bounded, decoded, and refused by name."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from guard.chain import matched_chain, square
from guard.errors import InvalidInputError
from guard.images import decode, find, load, n_pixels, read

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def test_lossless_image_decodes_to_its_pixels() -> None:
    np.testing.assert_array_equal(decode(encode(PIXELS)), PIXELS)


def test_grey_and_palette_images_become_rgb() -> None:
    assert decode(encode(PIXELS[:, :, 0])).shape == (20, 30, 3)


@pytest.mark.parametrize("content", [b"", b"hello", encode(PIXELS)[:60], encode(PIXELS, "JPEG")[:200]])
def test_bytes_that_are_no_image_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"query\.png"):
        decode(content, name="query.png")


def test_pixel_limit_is_checked_before_decoding() -> None:
    with pytest.raises(InvalidInputError, match="30 x 20 pixels; at most 100"):
        decode(encode(PIXELS), max_pixels=100)


def test_folder_gives_labels_and_skips_links_that_lead_out(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.png").write_bytes(encode(PIXELS))
    (tmp_path / "outside.png").write_bytes(encode(PIXELS))
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "outside.png")
    pixels, labels = load(tmp_path / "in", (8, 8))
    assert pixels.shape == (2, 8, 8, 3)
    assert labels == ["cat", "dog"]


def test_parquet_in_the_hub_layout_is_read(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": encode(PIXELS), "path": None}] * 3, "label": [0, 1, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert [item.label for item in read(tmp_path / "x.parquet")] == ["0", "1", "1"]


def test_bad_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="holds no image"):
        find(tmp_path / "empty")
    with pytest.raises(InvalidInputError, match="neither a folder"):
        find(tmp_path / "none")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidInputError, match="not a table of images"):
        list(read(tmp_path / "x.parquet"))
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "y.parquet")
    with pytest.raises(InvalidInputError, match="no column 'image'; it has picture"):
        list(read(tmp_path / "y.parquet"))


def test_chain_reduces_both_sides_below_the_smaller_source() -> None:
    small = [RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(4)]
    large = [RNG.integers(0, 256, (64, 80, 3), dtype=np.uint8) for _ in range(4)]
    chain = matched_chain(small, large, size=(48, 48))
    assert chain.side == 27
    first, again = chain.apply(large, seed=1), chain.apply(large, seed=1)
    assert first.shape == (4, 48, 48, 3)
    np.testing.assert_array_equal(first, again)
    assert (chain.apply(large, seed=2) != first).any()


def test_images_too_small_for_a_fair_chain_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 15 pixels"):
        matched_chain([PIXELS[:10, :10]], [PIXELS], size=(32, 32))


def test_square_is_centred() -> None:
    np.testing.assert_array_equal(square(PIXELS), PIXELS[:, 5:25])


def test_sixteen_bit_grey_keeps_its_upper_bits() -> None:
    levels = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(decode(encode(levels))[0, :, 0], [0, 0, 1, 255])


def test_pixels_whose_white_is_not_known_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="32 bits"):
        decode(encode(np.ones((2, 2), np.float32), "TIFF"))


def test_header_alone_tells_how_many_pixels() -> None:
    assert n_pixels(encode(PIXELS)) == 600
    with pytest.raises(InvalidInputError, match="known are JPEG"):
        n_pixels(encode(PIXELS), formats=("JPEG",))
