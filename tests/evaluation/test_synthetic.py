"""Synthetic out images: of every kind, repeatable, different from one to the next, and never an own image."""

import numpy as np
import pytest

from evaluation.synthetic import KINDS, make

OWN = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8) // np.array([1, 2, 4], np.uint8)


@pytest.mark.parametrize("side", [12, 32, 45])
@pytest.mark.parametrize("kind", KINDS)
def test_image_has_the_form_of_the_own_ones_and_hangs_on_its_seed_alone(kind: str, side: int) -> None:
    own = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    before = own.copy()
    made = [make(kind, own, np.random.default_rng(seed)) for seed in (5, 5, 6, 7)]
    assert all((image.shape, image.dtype) == ((side, side, 3), np.uint8) for image in made)
    np.testing.assert_array_equal(made[0], made[1])
    assert len({image.tobytes() for image in made}) == 3
    np.testing.assert_array_equal(own, before)


@pytest.mark.parametrize("kind", KINDS)
def test_no_image_is_an_own_one_nor_flat(kind: str) -> None:
    known = {image.tobytes() for image in OWN}
    for seed in range(20):
        image = make(kind, OWN, np.random.default_rng(seed))
        assert image.tobytes() not in known
        assert image.std() > 5


@pytest.mark.parametrize("kind", ["clouds", "gratings", "leaves", "fractal"])
def test_drawn_images_have_the_own_ones_colours(kind: str) -> None:
    """Blue is a quarter of red in every own image: a detector must find more than colour."""
    images = np.stack([make(kind, OWN, np.random.default_rng(seed)) for seed in range(40)]).astype(float)
    red, _, blue = images.mean(axis=(0, 1, 2))
    assert red > 2 * blue


def test_shuffled_image_keeps_every_pixel() -> None:
    image = make("shuffled", OWN[:1], np.random.default_rng(0))
    assert sorted(image.reshape(-1, 3).tolist()) == sorted(OWN[0].reshape(-1, 3).tolist())


def test_one_own_image_will_do() -> None:
    for kind in KINDS:
        assert make(kind, OWN[:1], np.random.default_rng(3)).shape == (32, 32, 3)
