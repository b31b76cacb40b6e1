"""Attacks that choose by what a rough copy expects: what each of them picks, with the copy's opinions given."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from torch import nn

from evaluation.attacks.activethief_kcenter import ActiveThiefKCenter
from evaluation.attacks.activethief_uncertainty import ActiveThiefUncertainty
from evaluation.attacks.balanced import Balanced
from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.confidence_filtered import ConfidenceFiltered
from evaluation.attacks.informed import Informed, View
from evaluation.sketch import Sketch, expect
from evaluation.transfer import Queries, TransferSet, nothing_asked
from guard.errors import ConfigError


class Constant(nn.Module):
    """Gives every image the same logits, of which the first is by far the largest."""

    def forward(self, x):
        return x.new_tensor([[20.0, 0, 0]]).expand(len(x), 3)


def view(*candidates: list[float], answers: list[list[float]]) -> View:
    n = len(answers)
    asked = TransferSet(Queries(np.zeros((n, 2, 2, 3), np.uint8), np.arange(n)), np.array(answers, np.float32))
    return View(np.array(candidates, np.float32), asked, Constant())


def test_uncertainty_picks_the_evenest_answers_first():
    seen = view([0.9, 0.1, 0], [0.4, 0.3, 0.3], [1, 0, 0], [0.5, 0.5, 0], answers=[[1, 0, 0]])
    assert ActiveThiefUncertainty().pick(seen, 2).tolist() == [1, 3]


def test_kcenter_picks_what_is_far_from_the_asked_and_from_each_other():
    """Asked lies at the first corner; the second and third corners come before a near copy of either."""
    seen = view([1, 0, 0], [0, 1, 0], [0, 0.95, 0.05], [0, 0, 1], [0.9, 0.1, 0], answers=[[1, 0, 0]])
    assert sorted(ActiveThiefKCenter().pick(seen, 2)) == [1, 3]


class Bright(nn.Module):
    """Gives an image the logits of its first three values."""

    def forward(self, x):
        return 40 * x[:, :, 0, 0]


def test_kcenter_forgets_nothing_that_was_asked():
    """The first of 5,000 asked lies at the second corner, all others at the first: the third is the one to ask about."""
    pixels = np.zeros((5000, 2, 2, 3), np.uint8)
    pixels[1:, :, :, 0], pixels[0, :, :, 1] = 255, 255
    asked = TransferSet(Queries(pixels, np.arange(5000)), np.full((5000, 3), 1 / 3, np.float32))
    seen = View(np.eye(3, dtype=np.float32), asked, Bright())
    assert ActiveThiefKCenter().pick(seen, 1).tolist() == [2]


@dataclass(frozen=True, slots=True)
class Telling(Informed):
    """Picks the first, and tells how many candidates there were."""

    name = "telling"
    heard: list[int] = field(default_factory=list)

    def pick(self, view: View, n: int) -> np.ndarray:
        self.heard.append(len(view.candidates))
        return np.arange(n)


@pytest.mark.parametrize(("n_asked", "n_chosen"), [(100, 30), (600, 60)])
def test_a_turn_is_a_tenth_of_what_was_asked_and_all_the_rest_of_the_pool_is_judged(n_asked, n_chosen):
    pool = Pool(np.random.default_rng(0).integers(0, 256, (3000, 8, 8, 3), dtype=np.uint8))
    asked = TransferSet(pool.take(np.arange(n_asked)), np.eye(2, dtype=np.float32)[np.arange(n_asked) % 2])
    attack = Telling(first=30, epochs=1)
    assert len(attack.next_queries(Turn(pool, asked, 512, 1))) == n_chosen
    assert attack.heard == [3000 - n_asked]
    bounded = Telling(first=30, epochs=1, n_candidates=1)
    bounded.next_queries(Turn(pool, asked, 512, 1))
    assert bounded.heard == [10 * n_chosen]


def test_kcenter_picks_equal_points_once_each():
    seen = view(*[[1.0, 0, 0]] * 5, answers=[[1, 0, 0]])
    assert len(set(ActiveThiefKCenter().pick(seen, 4).tolist())) == 4


def test_balanced_picks_for_the_classes_that_were_answered_least():
    seen = view([0.9, 0.1, 0], [0.1, 0.8, 0.1], [0, 0.1, 0.9], [0.8, 0.2, 0], answers=[[1, 0, 0]] * 5 + [[0, 1, 0]])
    assert Balanced().pick(seen, 2).tolist() == [2, 1]


def test_confidence_filtered_never_picks_from_the_unsure_part():
    seen = view([0.4, 0.3, 0.3], [0.9, 0.1, 0], [0.5, 0.5, 0], [1, 0, 0], answers=[[1, 0, 0]])
    assert sorted(ConfidenceFiltered(kept=0.5).pick(seen, 2)) == [1, 3]
    with pytest.raises(ConfigError, match="kept 0"):
        ConfidenceFiltered(kept=0)


def reddish(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, one image in ten of it red: class 1 of 2."""
    rng = np.random.default_rng(0)
    pixels, red = rng.integers(0, 120, (n, 16, 16, 3)), np.arange(n) % 10 == 0
    pixels[red, :, :, 0] += 120
    return pixels.astype(np.uint8), red


def test_balanced_finds_the_rare_class_in_the_pool_with_its_own_copy():
    """A tenth of the pool; after 100 random questions a choice by the copy finds it at least three times as often as chance."""
    pixels, red = reddish(600)
    pool = Pool(pixels)
    asked = nothing_asked(side=(16, 16), n_classes=2)
    for n in (100, 30):
        queries = Balanced(epochs=15).next_queries(Turn(pool, asked, n, 1))
        asked = asked.joined(queries, np.eye(2, dtype=np.float32)[red[queries.sources].astype(int)])
    assert red[asked.queries.sources[100:]].mean() > 0.3


def test_a_sketch_is_a_function_of_answers_and_seed():
    pixels, red = reddish(40)
    asked = TransferSet(Queries(pixels, np.arange(40)), np.eye(2, dtype=np.float32)[red.astype(int)])
    first, second = (Sketch().draw(asked, seed=3) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(expect(first, pixels), expect(second, pixels))
    np.testing.assert_allclose(expect(first, pixels).sum(axis=1), 1, atol=1e-5)


def test_a_sketch_is_taught_every_answer():
    """Also those that a draw of 4,096 would have left out: another answer to one of them is another copy."""
    pixels, red = reddish(4200)
    pixels = pixels[:, :8, :8]
    left_out = np.random.default_rng(3).permutation(4200)[4096:]
    answers = np.eye(2, dtype=np.float32)[red.astype(int)]
    other = answers.copy()
    other[left_out] = other[left_out, ::-1]
    copies = [Sketch(epochs=1).draw(TransferSet(Queries(pixels, np.arange(4200)), y), seed=3) for y in (answers, other)]
    first, second = (expect(copy, pixels[:20]) for copy in copies)
    assert np.abs(first - second).max() > 1e-6


def test_a_sketch_of_few_answers_is_taught_for_as_many_steps_as_it_is_told():
    """Forty answers are one batch an epoch: twenty steps are those of twenty epochs."""
    pixels, red = reddish(40)
    asked = TransferSet(Queries(pixels, np.arange(40)), np.eye(2, dtype=np.float32)[red.astype(int)])
    few, many = Sketch(epochs=2, least_steps=20).draw(asked, seed=3), Sketch(epochs=20).draw(asked, seed=3)
    np.testing.assert_array_equal(expect(few, pixels), expect(many, pixels))


def test_a_sketch_of_answers_that_say_nothing_is_none():
    pixels, _ = reddish(10)
    assert Sketch().draw(TransferSet(Queries(pixels, np.arange(10)), np.zeros((10, 2), np.float32)), seed=0) is None
