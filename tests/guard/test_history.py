"""A common history: what is larger is reduced and coded, what is small already stays, and a file tells its quality."""

import io

import numpy as np
import pytest
from PIL import Image

from guard.history import History, Kernel, jpeg_quality
from guard.images import reencode

RNG = np.random.default_rng(0)


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **options)
    return file.getvalue()


@pytest.mark.parametrize("kernel", Kernel)
def test_larger_image_is_cut_square_and_reduced(kernel: Kernel) -> None:
    image = noise(40, 56)
    before = image.copy()
    [made] = History(16, kernel).apply([image])
    assert (made.shape, made.dtype) == ((16, 16, 3), np.uint8)
    assert np.array_equal(image, before)
    assert not np.array_equal(made, History(16, kernel, 60).apply([image])[0])


def test_image_that_is_small_already_keeps_its_pixels() -> None:
    image = noise(16, 20)
    [made] = History(16, Kernel.BOX, 50).apply([image])
    assert np.array_equal(made, image[:, 2:18])


def test_image_is_cut_to_the_shape_it_is_served_in() -> None:
    image = noise(40, 56)
    [made] = History(16, shape=(1, 2)).apply([image])
    assert np.array_equal(made, np.asarray(Image.fromarray(image[6:34]).resize((32, 16), Image.Resampling.BILINEAR)))


def test_codec_comes_after_the_reduction() -> None:
    image = noise(32, 32)
    plain, coded = (History(16, Kernel.BILINEAR, quality).apply([image])[0] for quality in (None, 75))
    assert np.array_equal(coded, reencode(plain, quality=75))


@pytest.mark.parametrize("quality", [20, 49, 50, 75, 92, 95])
def test_quality_is_read_from_the_header(quality: int) -> None:
    assert jpeg_quality(encoded(noise(16, 16), format="JPEG", quality=quality)) == quality


@pytest.mark.parametrize("content", [encoded(noise(8, 8), format="PNG"), b"", b"\xff\xd8\xff no picture"])
def test_what_is_no_jpeg_has_no_quality(content: bytes) -> None:
    assert jpeg_quality(content) is None
