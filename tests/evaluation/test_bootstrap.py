"""Intervals of balanced measures: they hold the truth about as often as they say, and classes weigh alike."""

import numpy as np

from evaluation.bootstrap import accuracy_interval, net_recovery_interval, recovery_interval


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


def test_interval_of_groups_that_err_as_one_is_as_wide_as_so_few_cases():
    """20 places of 30 images, each right at 9 or 3 of 10: images alone would claim .04 either way. 200 draws."""
    rng = np.random.default_rng(3)
    groups, labels = np.repeat(np.arange(20), 30), np.arange(600) % 3
    held, narrow = 0, 0
    for seed in range(200):
        hits = rng.random(600) < rng.choice([0.3, 0.9], 20)[groups]
        low, high = accuracy_interval(hits, labels, seed=seed, groups=groups)
        held += low <= 0.6 <= high
        low, high = accuracy_interval(hits, labels, seed=seed)
        narrow += low <= 0.6 <= high
    assert held / 200 >= 0.85  # 20 groups are few: the bootstrap's own shortfall
    assert narrow / 200 < 0.7


def test_class_that_a_draw_of_groups_leaves_out_has_no_recall_there():
    groups = np.array([0, 0, 1, 1, 2, 2])
    labels = np.array([0, 1, 0, 1, 0, 2])
    low, high = accuracy_interval(np.ones(6, bool), labels, seed=0, groups=groups)
    assert (low, high) == (1.0, 1.0)


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


def test_net_recovery_interval_takes_chance_from_both():
    """A copy at .7 of a victim at .9, of two classes: .2 / .4."""
    labels = np.arange(2000) % 2
    rng = np.random.default_rng(3)
    victim, copied = rng.random(2000) < 0.9, rng.random(2000) < 0.7
    low, high = net_recovery_interval(copied, victim, labels, chance=0.5, seed=0)
    assert low < (copied.mean() - 0.5) / (victim.mean() - 0.5) < high
    assert high - low < 0.15
