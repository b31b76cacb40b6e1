"""The bandit of adaptive Knockoff: rewards that stay finite, and arms that pay."""

import numpy as np
import pytest

from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.knockoff_adaptive import KnockoffAdaptive, preferences
from evaluation.transfer import Queries, TransferSet, nothing_asked
from guard.errors import ConfigError

K = 4


@pytest.mark.parametrize("k", [1, 2, 10])
def test_rewards_are_finite_and_between_0_and_1_for_any_victim(k):
    rng = np.random.default_rng(0)
    certain = np.eye(k, dtype=np.float32)[rng.integers(0, k, 100)]
    for answers in (
        certain,
        certain * 0,
        rng.dirichlet(np.ones(k), 100).astype(np.float32),
        np.full((100, k), 1 / k, np.float32),
    ):
        rewards = KnockoffAdaptive().rewards(answers, rng.dirichlet(np.ones(k), 100).astype(np.float32))
        assert np.isfinite(rewards).all()
        assert rewards.min() >= 0
        assert rewards.max() <= 1


def test_a_refused_answer_earns_nothing():
    answers = np.eye(3, dtype=np.float32)
    answers[1] = 0
    rewards = KnockoffAdaptive().rewards(answers, np.full((3, 3), 1 / 3))
    assert rewards[1] == 0
    assert rewards[[0, 2]].min() > 0


def test_an_answer_unlike_those_before_earns_more_than_one_that_repeats_them():
    answers = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1]]
    rewards = KnockoffAdaptive().rewards(answers, np.full((5, 2), 0.5))
    assert rewards[4] > rewards[3]


def test_an_answer_that_a_copy_did_not_expect_earns_more_than_one_that_it_did():
    answers, expected = np.eye(2, dtype=np.float32)[[0, 0]], np.array([[0.9, 0.1], [0.1, 0.9]])
    known, surprising = KnockoffAdaptive(window=1).rewards(answers, expected)
    repeated = KnockoffAdaptive(window=1).rewards(answers, expected[::-1])[1]
    assert surprising > repeated
    assert known > repeated  # nothing came before the first: it is all new


def test_preferences_are_renewed_after_each_batch_however_long_a_turn_may_be():
    pool = Pool(np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8), np.arange(200) % 4)
    assert len(KnockoffAdaptive().next_queries(Turn(pool, nothing_asked(side=(8, 8), n_classes=K), 512, 1))) == 64


def test_answers_that_a_copy_cannot_foretell_earn_more():
    """All are as sure and the two classes as frequent; group 1 is answered by its colour, group 0 at random."""
    rng = np.random.default_rng(0)
    pixels, red = rng.integers(0, 120, (400, 8, 8, 3)), rng.random(400) < 0.5
    pixels[red, :, :, 0] += 130
    group = np.arange(400) % 2
    said = np.eye(2, dtype=np.float32)[np.where(group == 1, red, rng.random(400) < 0.5).astype(int)]
    earned = KnockoffAdaptive().earned(TransferSet(Queries(pixels.astype(np.uint8), np.arange(400)), said))
    assert earned[group == 0].mean() > earned[group == 1].mean() + 0.02


def test_the_arm_that_pays_is_preferred():
    drawn = np.random.default_rng(0).integers(0, 3, 300)
    chances = preferences(drawn, np.where(drawn == 1, 0.9, 0.1), n_arms=3, rate=1.0)
    assert chances.argmax() == 1
    assert chances.sum() == pytest.approx(1)


def test_groups_that_are_answered_with_certainty_are_asked_more():
    """Groups 0 to 3, 300 images each: the victim is sure of group 2 and has no opinion of the others."""
    rng = np.random.default_rng(0)
    pool = Pool(rng.integers(0, 256, (1200, 8, 8, 3), dtype=np.uint8), np.arange(1200) % 4)
    asked = nothing_asked(side=(8, 8), n_classes=K)
    for _ in range(10):
        queries = KnockoffAdaptive().next_queries(Turn(pool, asked, 30, 1))
        sure = np.eye(K, dtype=np.float32)[queries.sources // 4 % K]
        answers = np.where((queries.sources % 4 == 2)[:, None], sure, 1 / K).astype(np.float32)
        asked = asked.joined(queries, answers)
    counts = np.bincount(asked.queries.sources % 4, minlength=4)
    assert counts.argmax() == 2
    assert counts[2] > 1.2 * np.delete(counts, 2).mean()


def test_goes_on_with_other_groups_when_the_preferred_one_is_used_up():
    pool = Pool(np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8), np.arange(10) % 5 // 4)
    asked = KnockoffAdaptive().next_queries(Turn(pool, nothing_asked(side=(8, 8), n_classes=K), 8, 1))
    rest = KnockoffAdaptive().next_queries(Turn(pool, TransferSet(asked, np.full((8, K), 0.25, np.float32)), 8, 1))
    assert sorted([*asked.sources, *rest.sources]) == list(range(10))


def test_a_floor_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"floor 0\.0"):
        KnockoffAdaptive(floor=0.0)
