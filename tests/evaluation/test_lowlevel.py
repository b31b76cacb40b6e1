"""The baseline: it knows sharpness and codec traces, and it does not know content."""

import numpy as np
from PIL import Image

from evaluation.baseline import Traces
from evaluation.lowlevel import statistics
from guard.images import reencode


def textures(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 12, 12, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((32, 32), Image.Resampling.BICUBIC)) for c in coarse])


def test_sees_blur():
    sharp = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    soft = textures(80, seed=1)
    assert Traces.of(sharp, soft, seed=0).auroc > 0.99


def test_sees_compression():
    images = textures(160, seed=2)
    coded = np.stack([reencode(image, quality=25) for image in images[80:]])
    assert Traces.of(images[:80], coded, seed=0).auroc > 0.95


def test_knows_neither_brightness_nor_place():
    images = textures(6, seed=3) // 2
    np.testing.assert_allclose(statistics(images + 60), statistics(images), atol=2e-2)


def test_flat_images_and_none_at_all_have_finite_statistics():
    assert np.isfinite(statistics(np.zeros((2, 32, 32, 3), np.uint8))).all()
    assert statistics(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 15)
