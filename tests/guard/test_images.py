"""Images from outside: bounded, decoded, and refused by name."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from guard.chain import Chain
from guard.errors import InvalidInputError
from guard.images import MAX_BYTES, cropped, decode, find, links_passed_over, n_pixels, read, resize, size_of
from guard.preprocess import framed

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def test_lossless_image_decodes_to_its_pixels() -> None:
    np.testing.assert_array_equal(decode(encode(PIXELS)), PIXELS)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def test_grey_image_becomes_rgb() -> None:
    np.testing.assert_array_equal(decode(encode(PIXELS[:, :, 0])), PIXELS[:, :, :1].repeat(3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight(kind: str) -> None:
    levels = np.array([[0, 127, 129, 257, 32768, 65278, 65535]], np.uint16)
    found = decode(file_of(Image.fromarray(levels), kind))
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 1, 1, 128, 254, 255])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_levels_without_a_fixed_range_are_refused(dtype: type) -> None:
    content = file_of(Image.fromarray(np.zeros((4, 4), dtype)), "TIFF")
    with pytest.raises(InvalidInputError, match=r"scan\.tif has levels of 32 bits .* convert it to 8 bits"):
        decode(content, name="scan.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_as_the_camera_was_held(orientation: int, kind: str) -> None:
    """Four colours in the corners, clockwise from the top left, as the page of the EXIF standard draws them."""
    seen = ["red", "green", "blue", "white"]  # what should be at top left, top right, bottom right, bottom left
    # How the stored rows and columns lie, by the standard's words: "the 0th row is the visual top, the 0th column the left side".
    stored = {
        1: [0, 1, 2, 3], 2: [1, 0, 3, 2], 3: [2, 3, 0, 1], 4: [3, 2, 1, 0],
        5: [0, 3, 2, 1], 6: [1, 2, 3, 0], 7: [2, 1, 0, 3], 8: [3, 0, 1, 2],
    }[orientation]  # fmt: skip
    image = Image.new("RGB", (32, 16) if orientation < 5 else (16, 32))
    half = (image.width // 2, image.height // 2)
    for corner, place in zip(stored, ((0, 0), (half[0], 0), half, (0, half[1])), strict=True):
        image.paste(seen[corner], (*place, place[0] + half[0], place[1] + half[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(file_of(image, kind, exif=exif))
    assert found.shape == (16, 32, 3)
    corners = [found[4, 8], found[4, 24], found[12, 24], found[12, 8]]
    wanted = [(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)]
    np.testing.assert_allclose(np.array(corners, int), wanted, atol=12)


def test_broken_exif_costs_the_orientation_and_not_the_picture() -> None:
    content = file_of(Image.fromarray(PIXELS), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(decode(content), PIXELS)


def test_transparency_is_dropped_and_the_colours_beneath_it_stay() -> None:
    clear = np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])
    np.testing.assert_array_equal(decode(encode(clear)), PIXELS)
    grey = np.dstack([PIXELS[:, :, 0], np.full((20, 30), 9, np.uint8)])
    np.testing.assert_array_equal(decode(encode(grey)), PIXELS[:, :, :1].repeat(3, axis=2))
    palette = Image.fromarray(PIXELS).quantize(16)
    plain = decode(file_of(palette, "PNG"))
    for transparency in (3, bytes(range(16))):
        np.testing.assert_array_equal(decode(file_of(palette, "PNG", transparency=transparency)), plain)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_picture_of_several_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = decode(file_of(frames[0], kind, save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(found.reshape(-1, 3).mean(axis=0), (255, 0, 0), atol=4)


def test_print_colours_become_screen_colours() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(decode(file_of(ink, "JPEG"))[4, 4], (255, 0, 0), atol=4)
    np.testing.assert_array_equal(decode(file_of(ink, "TIFF"))[4, 4], (255, 0, 0))


def test_size_is_told_from_the_header_and_held_to_the_limits() -> None:
    assert size_of(encode(PIXELS, "JPEG")[:700]) == (20, 30)
    with pytest.raises(InvalidInputError, match="at most 100"):
        size_of(encode(PIXELS), max_bytes=100)


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
    items = list(read(tmp_path / "in"))
    pixels = np.stack([resize(decode(item.content, name=item.name), (8, 8)) for item in items])
    assert pixels.shape == (2, 8, 8, 3)
    assert [item.label for item in items] == ["cat", "dog"]


def test_parquet_in_the_hub_layout_is_read(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": encode(PIXELS), "path": None}] * 3, "label": [0, 1, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert [item.label for item in read(tmp_path / "x.parquet")] == ["0", "1", "1"]


STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})
GOOD_CELL = {"bytes": encode(PIXELS), "path": None}


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (pa.array([GOOD_CELL, None], STRUCT), "row 1 holds no image bytes"),
        (pa.array([GOOD_CELL, {"bytes": None, "path": "cat.jpg"}], STRUCT), "row 1 holds no image bytes, or only a path"),
        (pa.array([GOOD_CELL, {"bytes": b"", "path": None}], STRUCT), "row 1 has an image of 0 bytes"),
        (pa.array([{"path": "cat.jpg"}]), "row 0 has an image without the field 'bytes', only path"),
        (pa.array([{"bytes": "text"}]), "row 0 has an image of type string"),
        (pa.array([7]), "row 0 has an image of type int64, not the bytes of a file"),
        (pa.array([[1, 2]]), "row 0 has an image of type list"),
        (pa.array([bytes(MAX_BYTES + 1)]), f"row 0 has an image of {MAX_BYTES + 1} bytes; it must have 1 to {MAX_BYTES}"),
        (pa.array([], STRUCT), "holds no image: it has 0 rows"),
    ],
)
def test_bad_cell_is_named_by_file_and_row(cells: pa.Array, said: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": cells}), tmp_path / "x.parquet")
    with pytest.raises(InvalidInputError, match=rf"x\.parquet .*{said}|x\.parquet {said}"):
        list(read(tmp_path / "x.parquet"))


@pytest.mark.parametrize("kind", ["plain", "large", "fixed", "struct"])
def test_bytes_are_read_from_every_kind_of_column(kind: str, tmp_path: Path) -> None:
    content = encode(PIXELS)
    column = {
        "plain": pa.array([content]),
        "large": pa.array([content], pa.large_binary()),
        "fixed": pa.array([content], pa.binary(len(content))),
        "struct": pa.array([{"bytes": content}]),
    }[kind]
    pq.write_table(pa.table({"img": column}), tmp_path / "x.parquet")
    assert [item.content for item in read(tmp_path / "x.parquet")] == [content]


def test_damaged_parquet_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"image": [GOOD_CELL] * 40, "label": list(range(40))}), path, compression="none", use_dictionary=False
    )
    whole, rng, refused = path.read_bytes(), np.random.default_rng(2), 0
    for i in range(60):
        damaged = bytearray(whole)
        for where in rng.integers(4, len(whole), 12) if i % 2 else rng.integers(len(whole) - 600, len(whole), 4):
            damaged[where] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            for item in read(path):
                decode(item.content, name=item.name)
        except InvalidInputError as error:
            refused += "x.parquet" in str(error)
    assert refused > 20


def test_only_the_images_at_the_places_that_are_asked_for_are_read(tmp_path: Path) -> None:
    rows = [{"bytes": encode(PIXELS + i), "path": None} for i in range(200)]
    pq.write_table(pa.table({"image": rows}), tmp_path / "x.parquet", row_group_size=70)
    everything = list(read(tmp_path / "x.parquet"))
    assert list(read(tmp_path / "x.parquet", only={0, 69, 70, 199})) == [everything[i] for i in (0, 69, 70, 199)]
    for name in "abc":
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f"{name}.png").write_bytes(name.encode())
    assert [item.content for item in read(tmp_path / "folder", only={1})] == [b"b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(PIXELS))
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InvalidInputError, match=r"a\.png cannot be read"):
        list(read(tmp_path))


def test_link_to_itself_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(PIXELS))
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert [path.name for path in find(tmp_path)] == ["a.png"]


def test_links_that_are_not_followed_are_counted(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "in"
    for place in (elsewhere / "cat", folder / "own"):
        place.mkdir(parents=True)
        (place / "a.png").write_bytes(encode(PIXELS))
    (folder / "cat").symlink_to(elsewhere / "cat")
    (folder / "out.png").symlink_to(elsewhere / "cat" / "a.png")
    (folder / "gone.png").symlink_to(elsewhere / "gone.png")
    (folder / "gone.txt").symlink_to(elsewhere / "gone.txt")
    (folder / "b.png").symlink_to(folder / "own" / "a.png")
    (folder / "twin").symlink_to(folder / "own")
    assert [str(path.relative_to(folder)) for path in find(folder)] == ["b.png", "own/a.png"]
    assert links_passed_over(folder) == 3
    (folder / "own" / "a.png").unlink()
    (folder / "b.png").unlink()
    with pytest.raises(InvalidInputError, match=r"in holds no image; .*; 3 links there lead out of it or nowhere .* copy"):
        find(folder)


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


def test_chain_draws_its_qualities_from_the_seed() -> None:
    images = [RNG.integers(0, 256, (64, 80, 3), dtype=np.uint8) for _ in range(4)]
    chain = Chain(27, (48, 48))
    first, again = chain.apply(images, seed=1), chain.apply(images, seed=1)
    assert first.shape == (4, 48, 48, 3)
    np.testing.assert_array_equal(first, again)
    assert (chain.apply(images, seed=2) != first).any()


def test_square_is_centred() -> None:
    np.testing.assert_array_equal(cropped(PIXELS, (1, 1)), PIXELS[:, 5:25])


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (48, 48)])
def test_chain_frames_an_image_as_it_is_served_and_stretches_nothing(size: tuple[int, int]) -> None:
    y, x = np.mgrid[:200, :200]
    disc = np.repeat((((y - 100) ** 2 + (x - 100) ** 2 < 40**2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    through, served = Chain(27, size).one(disc, quality=90), framed(disc, size)
    assert through.shape == served.shape == (*size, 3)
    for axis in (0, 1):
        spans = [int((image[..., 0] > 127).any(axis=axis).sum()) for image in (through, served)]
        assert abs(spans[0] - spans[1]) <= 3, "as wide and as tall as it is served, but for what the reduction blurs"


def test_header_alone_tells_how_many_pixels() -> None:
    assert n_pixels(encode(PIXELS)) == 600
    with pytest.raises(InvalidInputError, match="known are JPEG"):
        n_pixels(encode(PIXELS), formats=("JPEG",))
