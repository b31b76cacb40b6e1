"""Intervals of balanced measures: they hold the truth about as often as they say, and classes weigh alike."""

import numpy as np

from evaluation.bootstrap import accuracy_interval, recovery_interval


def test_interval_of_a_balanced_accuracy_holds_the_truth_as_often_as_it_says():
    """Two classes, .9 and .5 right, 300 images and 60: the truth is .7. 200 draws; below 88 % has a chance under 1 in 1,000."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [300, 60])
    held = 0
    for seed in range(200):
        hits = rng.random(360) < np.where(labels == 0, 0.9, 0.5)
        low, high = accuracy_interval(hits, labels, seed=seed)
        held += low <= 0.7 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_recovery_of_a_copy_that_errs_where_the_victim_does_is_certain():
    labels = np.arange(100) % 4
    hits = np.random.default_rng(1).random(100) < 0.6
    assert recovery_interval(hits, hits, labels, seed=0) == (1.0, 1.0)


def test_recovery_interval_holds_the_recovery():
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 4
    victim = rng.random(400) < 0.8
    copied = rng.random(400) < 0.4
    low, high = recovery_interval(copied, victim, labels, seed=0)
    assert low < copied.mean() / victim.mean() < high
    assert high - low < 0.2
