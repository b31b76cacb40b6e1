"""Re-encodings: same size, same type, no chance, and each changes something but "as sent"."""

import numpy as np
import pytest

from guard.benign import BENIGN, benign

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", list(BENIGN))
def test_re_encoding_keeps_the_form_and_is_repeatable(name: str) -> None:
    before = IMAGES.copy()
    changed = benign(name, IMAGES)
    assert changed.shape == IMAGES.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(IMAGES, before)
    np.testing.assert_array_equal(changed, benign(name, IMAGES))
    assert (changed != IMAGES).any() == (name != "as sent")
    assert benign(name, IMAGES[:0]).shape == (0, 24, 20, 3)
