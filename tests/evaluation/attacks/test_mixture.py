"""Mixture and in-distribution: the share of in images is what was set, at every budget."""

import numpy as np
import pytest

from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.in_distribution import InDistribution
from evaluation.attacks.mixture import Mixture
from evaluation.transfer import Queries, TransferSet, nothing_asked
from guard.errors import ConfigError

POOL = Pool(np.zeros((100, 2, 2, 3), np.uint8), np.arange(100) % 5)  # 20 in, 80 out


def sources(attack: Mixture | InDistribution, *, turn: int, most: int = 200) -> np.ndarray:
    asked = nothing_asked(side=(2, 2), n_classes=2)
    while len(queries := attack.next_queries(Turn(POOL, asked, turn, 1))) and len(asked) < most:
        asked = asked.joined(queries, np.full((len(queries), 2), 0.5, np.float32))
    return asked.queries.sources


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_every_budget_has_its_share_of_in_images(share):
    is_in = POOL.groups[sources(Mixture(share=share), turn=7)] == 0
    expected = np.floor(np.arange(1, len(is_in) + 1) * share + 1e-9)
    np.testing.assert_array_equal(is_in.cumsum(), expected)


def test_ends_where_the_kind_that_is_due_is_used_up():
    asked = sources(Mixture(share=0.5), turn=7)
    assert len(asked) == 41  # the 20 in images, 21 others, and no in image for the 42nd
    assert len(set(asked)) == 41


def test_asks_the_same_whatever_the_size_of_a_turn():
    np.testing.assert_array_equal(sources(Mixture(share=0.3), turn=1), sources(Mixture(share=0.3), turn=9))


def test_in_distribution_asks_each_in_image_once_and_nothing_else():
    assert sorted(sources(InDistribution(), turn=7)) == list(range(0, 100, 5))
    assert sorted(sources(InDistribution(inside=3), turn=7)) == list(range(3, 100, 5))


@pytest.mark.parametrize("attack", [Mixture(inside=9), InDistribution(inside=9)])
def test_a_pool_without_in_images_is_refused(attack):
    with pytest.raises(ConfigError, match="of group 9"):
        attack.next_queries(Turn(POOL, nothing_asked(side=(2, 2), n_classes=2), 4, 1))


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"share 1\.5"):
        Mixture(share=1.5)


def test_unasked_is_the_pool_less_what_was_asked():
    asked = TransferSet(Queries(POOL.pixels[:3], np.array([4, -1, 7])), np.full((3, 2), 0.5, np.float32))
    assert set(range(100)) - set(Turn(POOL, asked, 1, 1).unasked().tolist()) == {4, 7}
