"""Attacks: a contract over the registry, and Knockoff's own claims."""

import numpy as np
import pytest

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Attack, Pool, Turn
from evaluation.attacks.jbda import Jbda
from evaluation.attacks.mixture import Mixture
from evaluation.attacks.registry import ATTACKS
from evaluation.transfer import Queries, TransferSet, nothing_asked
from guard.errors import ConfigError, InvalidInputError

N_POOL, N_CLASSES = 50, 3


def pool() -> Pool:
    """Half of it is of group 0, the other half of four other groups."""
    rng = np.random.default_rng(0)
    groups = np.where(np.arange(N_POOL) % 2, 0, np.arange(N_POOL) % 8 // 2 + 1)
    return Pool(rng.integers(0, 256, (N_POOL, 8, 8, 3), dtype=np.uint8), groups)


def answers(queries: Queries) -> np.ndarray:
    """A victim that answers by brightness."""
    bright = queries.pixels.mean(axis=(1, 2, 3)) / 255
    return np.stack([bright / 2, 1 - bright, bright / 2], axis=1).astype(np.float32)


def carry_out(attack: Attack, *, budget: int, batch: int, seed: int = 1) -> TransferSet:
    stolen = nothing_asked(side=(8, 8), n_classes=N_CLASSES)
    while len(stolen) < budget:
        queries = attack.next_queries(Turn(pool(), stolen, min(batch, budget - len(stolen)), seed))
        if not len(queries):
            break
        stolen = stolen.joined(queries, answers(queries))
    return stolen


@pytest.fixture(params=[*ATTACKS, "jbda beyond its seeds"])
def attack(request) -> Attack:
    return Jbda(n_seeds=4, epochs=2) if " " in request.param else ATTACKS.get(request.param)()


def test_asks_no_more_than_its_budget(attack):
    assert len(carry_out(attack, budget=20, batch=7)) == 20


def test_same_seed_asks_the_same(attack):
    first, second = (carry_out(attack, budget=20, batch=7) for _ in range(2))
    np.testing.assert_array_equal(first.queries.pixels, second.queries.pixels)


def test_other_seed_asks_otherwise(attack):
    first, second = (carry_out(attack, budget=20, batch=7, seed=seed) for seed in (1, 2))
    assert (first.queries.pixels != second.queries.pixels).any()


def test_goes_on_from_a_stored_transfer_set_as_if_nothing_had_happened(attack):
    whole = carry_out(attack, budget=21, batch=7)
    queries = attack.next_queries(Turn(pool(), whole.first(14), 7, 1))
    assert len(queries)
    np.testing.assert_array_equal(queries.pixels, whole.queries.pixels[14 : 14 + len(queries)])


def test_what_came_from_the_pool_is_what_the_pool_holds(attack):
    queries = carry_out(attack, budget=20, batch=7).queries
    rows = queries.sources >= 0
    np.testing.assert_array_equal(queries.pixels[rows], pool().pixels[queries.sources[rows]])


def test_asks_on_when_every_answer_was_refused(attack):
    queries = attack.next_queries(Turn(pool(), nothing_asked(side=(8, 8), n_classes=N_CLASSES), 7, 1))
    refused = nothing_asked(side=(8, 8), n_classes=N_CLASSES).joined(queries, np.zeros((len(queries), N_CLASSES), np.float32))
    again = attack.next_queries(Turn(pool(), refused, 7, 1))
    assert len(again)
    assert not set(again.sources) & set(queries.sources)


def test_answers_for_certain_are_as_good_as_any(attack):
    """An overconfident victim: 1 and 0, whose logarithm is infinite."""
    asked = carry_out(attack, budget=14, batch=7)
    certain = TransferSet(asked.queries, np.eye(N_CLASSES, dtype=np.float32)[asked.answers.argmax(axis=1)])
    assert len(attack.next_queries(Turn(pool(), certain, 7, 1)))


def test_leaves_the_pool_and_what_was_asked_alone(attack):
    mine, asked = pool(), carry_out(attack, budget=14, batch=7)
    attack.next_queries(Turn(mine, asked, 7, 1))
    for after, before in (
        (mine.pixels, pool().pixels),
        (mine.groups, pool().groups),
        (asked.queries.pixels, carry_out(attack, budget=14, batch=7).queries.pixels),
        (asked.answers, carry_out(attack, budget=14, batch=7).answers),
    ):
        np.testing.assert_array_equal(after, before)


def test_what_it_is_customarily_combined_with_is_an_adversary(attack):
    assert attack.customary_adversary in ADVERSARIES


def test_attacks_that_say_they_ask_the_same_do_and_others_do_not():
    """By what they choose of a pool in which half is the victim's own kind."""
    attacks = [*(ATTACKS.get(name)() for name in ATTACKS), Mixture(share=1.0)]
    chosen = [carry_out(one, budget=14, batch=7).queries.sources for one in attacks]
    pairs = [(i, j) for i in range(len(attacks)) for j in range(i)]
    alike = {(attacks[i].name, attacks[j].name) for i, j in pairs if attacks[i].asking == attacks[j].asking}
    assert alike == {("copycat", "knockoff"), ("mixture", "in-distribution")}
    for i, j in pairs:
        if attacks[i].asking == attacks[j].asking:
            np.testing.assert_array_equal(chosen[i], chosen[j])


def test_a_turn_that_does_not_fit_is_refused(attack):
    with pytest.raises(InvalidInputError, match="at least 1"):
        attack.next_queries(Turn(pool(), nothing_asked(side=(8, 8), n_classes=3), 0, 1))
    with pytest.raises(InvalidInputError, match="one size"):
        attack.next_queries(Turn(pool(), nothing_asked(side=(9, 9), n_classes=3), 4, 1))


def test_knockoff_asks_each_image_once_and_stops_when_the_pool_is_used_up():
    sources = carry_out(ATTACKS.get("knockoff")(), budget=10 * N_POOL, batch=7).queries.sources
    assert sorted(sources) == list(range(N_POOL))


def test_knockoff_asks_the_same_whatever_the_batch():
    one, seven = (carry_out(ATTACKS.get("knockoff")(), budget=20, batch=batch).queries.sources for batch in (1, 7))
    np.testing.assert_array_equal(one, seven)


def test_a_transfer_set_from_a_larger_pool_is_refused():
    asked = carry_out(ATTACKS.get("knockoff")(), budget=20, batch=7)
    with pytest.raises(InvalidInputError, match="the pool that the attack began with"):
        ATTACKS.get("knockoff")().next_queries(Turn(Pool(pool().pixels[:2]), asked, 7, 1))


class Greedy(Attack):
    """Asks for more than it may, and needs classes."""

    name = "greedy"
    needs_groups = True

    def choose(self, turn: Turn) -> Queries:
        return turn.pool.take(np.arange(turn.n_next + 1))


def test_an_attack_cannot_ask_for_more_than_its_turn_allows():
    with pytest.raises(InvalidInputError, match="at most 4"):
        Greedy().next_queries(Turn(pool(), nothing_asked(side=(8, 8), n_classes=3), 4, 1))


def test_a_pool_without_the_classes_that_an_attack_needs_is_refused():
    with pytest.raises(ConfigError, match="knockoff"):
        Greedy().next_queries(Turn(Pool(pool().pixels), nothing_asked(side=(8, 8), n_classes=3), 4, 1))


def test_answers_that_are_no_probabilities_make_no_transfer_set():
    queries = pool().take(np.arange(2))
    with pytest.raises(InvalidInputError, match="not finite"):
        TransferSet(queries, np.array([[np.nan, 1], [0, 1]], np.float32))
    with pytest.raises(InvalidInputError, match="2 queries"):
        TransferSet(queries, np.ones((3, 2), np.float32))
