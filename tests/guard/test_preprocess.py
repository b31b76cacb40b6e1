"""From an image of any size to the model's own: centred, in its shape, and untouched where nothing is to be done."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.images import cropped, resize
from guard.preprocess import framed

SIDES = st.integers(1, 40)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(SIDES, SIDES, st.integers(1, 16))
def test_square_model_sees_the_largest_centred_square(height: int, width: int, side: int) -> None:
    image = picture(height, width)
    np.testing.assert_array_equal(framed(image, (side, side)), resize(cropped(image, (1, 1)), (side, side)))


@given(SIDES, SIDES)
def test_image_of_the_models_size_stays_as_it_is(height: int, width: int) -> None:
    image = picture(height, width)
    np.testing.assert_array_equal(framed(image, (height, width)), image)


@pytest.mark.parametrize(("size", "part"), [((2, 4), np.s_[5:15, :]), ((4, 2), np.s_[:, 5:15])])
def test_model_that_is_not_square_sees_a_part_of_its_own_shape(size: tuple[int, int], part: tuple[slice, slice]) -> None:
    image = picture(20, 20)
    np.testing.assert_array_equal(framed(image, size), resize(image[part], size))


def test_image_of_extreme_shape_keeps_a_pixel() -> None:
    assert framed(picture(1, 500), (8, 2)).shape == (8, 2, 3)
