"""The search lowers a score within its bounds, and counts what it reads."""

import numpy as np
import pytest

from evaluation.evasion import SquareSearch
from guard.errors import ConfigError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)


def brightness(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean(axis=(1, 2, 3)).astype(np.float32)


def test_score_falls_for_every_image_and_no_pixel_moves_further_than_it_may() -> None:
    found = SquareSearch(n_steps=60, step=8).run(IMAGES, brightness, seed=0)
    assert (brightness(found) < brightness(IMAGES) - 2).all()
    assert np.abs(found.astype(int) - IMAGES).max() <= 8


def test_as_many_scores_are_read_as_stated() -> None:
    reads = []

    def counted(pixels: np.ndarray) -> np.ndarray:
        reads.append(len(pixels))
        return brightness(pixels)

    SquareSearch(n_steps=20).run(IMAGES, counted, seed=0)
    assert reads == [len(IMAGES)] * 21


def test_no_image_scores_worse_than_it_did_on_a_score_that_only_rises() -> None:
    found = SquareSearch(n_steps=20).run(IMAGES, lambda p: np.abs(p.astype(int) - IMAGES).mean(axis=(1, 2, 3)), seed=0)
    assert np.array_equal(found, IMAGES)


def test_same_seed_same_images() -> None:
    search = SquareSearch(n_steps=20)
    assert np.array_equal(search.run(IMAGES, brightness, seed=3), search.run(IMAGES, brightness, seed=3))


@pytest.mark.parametrize("options", [{"n_steps": 0}, {"step": 0}, {"largest": 0.0}])
def test_search_that_could_not_move_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        SquareSearch(**options)
