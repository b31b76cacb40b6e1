"""JBDA: seeds from the pool, then doublings along the copy's gradient."""

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.jbda import Jbda, _slopes
from evaluation.transfer import SYNTHETIC, TransferSet, nothing_asked
from guard.errors import ConfigError


def carried_out(n: int, *, turn: int) -> TransferSet:
    pool = Pool(np.random.default_rng(0).integers(60, 190, (20, 8, 8, 3), dtype=np.uint8))
    asked = nothing_asked(side=(8, 8), n_classes=2)
    while len(asked) < n:
        queries = Jbda(n_seeds=4, levels=10, epochs=2).next_queries(Turn(pool, asked, min(turn, n - len(asked)), 1))
        red = queries.pixels[..., 0].mean(axis=(1, 2)) / 255
        asked = asked.joined(queries, np.stack([red, 1 - red], axis=1).astype(np.float32))
    return asked


def test_doubles_what_was_asked_by_steps_from_each_of_it():
    asked = carried_out(16, turn=16)
    assert (asked.queries.sources[:4] >= 0).all()
    assert (asked.queries.sources[4:] == SYNTHETIC).all()
    pixels = asked.queries.pixels.astype(int)
    for start in (4, 8):  # row start + i is a step away from row i
        steps = np.abs(pixels[start : 2 * start] - pixels[:start])
        assert steps.max() == 10
        assert (steps == 10).mean() > 0.5


def test_in_domain_seeds_are_of_the_victims_own_kind_and_the_rest_are_steps_from_them():
    pool = Pool(np.random.default_rng(0).integers(60, 190, (20, 8, 8, 3), dtype=np.uint8), np.arange(20) % 5)
    attack = Jbda(n_seeds=3, levels=10, epochs=1, in_domain=True)
    assert (attack.needs_inside, Jbda().needs_inside) == (True, False)
    asked = nothing_asked(side=(8, 8), n_classes=2)
    for _ in range(2):
        queries = attack.next_queries(Turn(pool, asked, 8, 1))
        asked = asked.joined(queries, np.full((len(queries), 2), 0.5, np.float32))
    assert (pool.groups[asked.queries.sources[:3]] == 0).all()
    assert asked.queries.sources[3:].tolist() == [SYNTHETIC] * 3
    with pytest.raises(ConfigError, match="of group 9"):
        Jbda(in_domain=True, inside=9).next_queries(Turn(pool, asked, 8, 1))
    with pytest.raises(ConfigError, match="a pool with classes"):
        attack.next_queries(Turn(Pool(pool.pixels), asked, 8, 1))


def test_asks_the_same_whatever_the_size_of_a_turn():
    one, seven = (carried_out(16, turn=turn).queries.pixels for turn in (1, 7))
    np.testing.assert_array_equal(one, seven)


def test_refused_answer_gives_no_direction_towards_the_first_class():
    """Its row is of zeros, whose largest entry would be the first."""
    pool = Pool(np.full((8, 8, 8, 3), 128, np.uint8))
    seeds = Jbda(n_seeds=4, levels=10).next_queries(Turn(pool, nothing_asked(side=(8, 8), n_classes=2), 4, 1))
    told = np.array([[0, 1], [1, 0], [0, 0], [0, 0]], np.float32)
    asked = nothing_asked(side=(8, 8), n_classes=2).joined(seeds, told)
    steps = Jbda(n_seeds=4, levels=10).next_queries(Turn(pool, asked, 4, 1)).pixels.astype(int) - 128
    assert set(np.unique(steps[2:])) == {-10, 10}
    assert not (steps[2] == steps[3]).all()  # the two images are one, and so would be their steps towards a class


def test_steps_go_towards_what_the_copy_holds_for_the_label():
    """A copy that takes red for class 1: more red for images answered 1, less for those answered 0, and nothing else."""

    class Red(nn.Module):
        def forward(self, x):
            red = x[:, 0].mean(dim=(1, 2))
            return torch.stack([-red, red], dim=1)

    pixels = np.full((2, 4, 4, 3), 100, np.uint8)
    slopes = _slopes(Red(), pixels, np.array([0, 1]))
    assert (slopes[0, :, :, 0] == -1).all()
    assert (slopes[1, :, :, 0] == 1).all()
    assert not slopes[..., 1:].any()
