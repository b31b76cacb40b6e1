"""Lookalikes: out images that are kept are spread over the baseline's score as in images are."""

import numpy as np

from evaluation.baseline import Traces
from evaluation.lookalikes import lookalikes

RNG = np.random.default_rng(0)


def textures(n: int, contrast: float) -> np.ndarray:
    return np.clip(RNG.normal(128, contrast, (n, 24, 24, 3)), 0, 255).astype(np.uint8)


def test_out_images_of_another_texture_are_left_out() -> None:
    inside = textures(600, 20)
    outside = np.concatenate([textures(300, 20), textures(300, 45)])
    traces = Traces.of(inside, outside, seed=0)
    kept = lookalikes(traces, seed=0)
    assert kept[300:].sum() <= 3
    assert kept[:300].mean() > 0.5
    assert traces.auroc > 0.7
    assert Traces.of(inside, outside[kept], seed=0).auroc < 0.6


def test_same_seed_same_choice() -> None:
    traces = Traces.of(textures(80, 20), textures(80, 25), seed=0)
    assert np.array_equal(lookalikes(traces, seed=1), lookalikes(traces, seed=1))
