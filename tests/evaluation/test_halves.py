"""The half of the test images that chooses: of every class its half, and the same for every copy."""

import numpy as np

from evaluation.halves import choosing_half


def test_each_class_is_halved_and_the_odd_image_falls_to_either_side() -> None:
    labels = np.repeat(np.arange(60), 5)
    chooses = choosing_half(labels, seed=0)
    counts = np.bincount(labels[chooses], minlength=60)
    assert set(counts.tolist()) == {2, 3}
    assert 15 <= (counts == 2).sum() <= 45  # binomial(60, .5): outside in less than one of 10,000 seeds


def test_half_is_the_seeds_own() -> None:
    labels = np.repeat(np.arange(3), 50)
    np.testing.assert_array_equal(choosing_half(labels, seed=4), choosing_half(labels, seed=4))
    assert (choosing_half(labels, seed=4) != choosing_half(labels, seed=5)).any()
