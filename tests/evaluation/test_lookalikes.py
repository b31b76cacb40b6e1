"""Lookalikes: out images that are kept are spread over the baseline's score as in images are."""

import numpy as np
import pytest

from evaluation.detection import low_level_measure
from evaluation.lookalikes import lookalikes
from guard.errors import InvalidInputError

RNG = np.random.default_rng(0)


def textures(n: int, contrast: float) -> np.ndarray:
    return np.clip(RNG.normal(128, contrast, (n, 24, 24, 3)), 0, 255).astype(np.uint8)


def test_out_images_of_another_texture_are_left_out() -> None:
    inside = textures(600, 20)
    outside = np.concatenate([textures(300, 20), textures(300, 45)])
    kept = lookalikes(inside, outside, seed=0)
    assert kept[300:].sum() <= 3
    assert kept[:300].mean() > 0.5
    before = low_level_measure(inside, outside, target_fpr=0.05, seed=0)
    after = low_level_measure(inside, outside[kept], target_fpr=0.05, seed=0)
    assert before.auroc > 0.7
    assert after.auroc < 0.6


def test_same_seed_same_choice_and_inputs_are_left_as_they_are() -> None:
    inside, outside = textures(80, 20), textures(80, 25)
    copies = inside.copy(), outside.copy()
    assert np.array_equal(lookalikes(inside, outside, seed=1), lookalikes(inside, outside, seed=1))
    assert np.array_equal(inside, copies[0])
    assert np.array_equal(outside, copies[1])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="give 40 of each"):
        lookalikes(textures(39, 20), textures(60, 20), seed=0)
