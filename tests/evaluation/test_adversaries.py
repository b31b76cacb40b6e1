"""Adversaries: a contract over the registry, also with each attack's transfer set, and what the plain ones make of an answer."""

import numpy as np
import pytest

from evaluation.adversaries.base import Adversary
from evaluation.adversaries.disguise import Disguise
from evaluation.adversaries.labels_only import LabelsOnly
from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.jbda import Jbda
from evaluation.attacks.registry import ATTACKS
from evaluation.models import build
from evaluation.surrogate import Student, copy_victim
from evaluation.training import predict
from evaluation.transfer import Queries, TransferSet, nothing_asked


def stolen(*answers: list[float]) -> TransferSet:
    n = len(answers)
    pixels = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return TransferSet(Queries(pixels, np.arange(n)), np.array(answers, np.float32))


@pytest.fixture(params=list(ADVERSARIES))
def adversary(request) -> Adversary:
    return ADVERSARIES.get(request.param)()


def test_targets_are_distributions_and_the_transfer_set_is_left_alone(adversary):
    given = stolen([0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.0])
    before = given.answers.copy()
    lesson = adversary.lesson(given)
    np.testing.assert_allclose(lesson.targets.sum(axis=1), 1, atol=1e-6)
    assert lesson.targets.dtype == np.float32
    np.testing.assert_array_equal(given.answers, before)


def asked_by(attack: str, adversary: Adversary, n: int = 12) -> TransferSet:
    """Carry an attack out as the adversary asks it, against a victim that answers by brightness."""
    rng = np.random.default_rng(0)
    pool = Pool(rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), np.arange(40) % 2)
    asked = nothing_asked(side=(8, 8), n_classes=3)
    while (left := n - len(asked) // adversary.n_copies) > 0:
        turn = Turn(pool, adversary.heard(asked), min(4, left), 1)
        choosing = Jbda(n_seeds=2, epochs=1) if " " in attack else ATTACKS.get(attack)()
        queries = adversary.expand(choosing.next_queries(turn))
        bright = queries.pixels.mean(axis=(1, 2, 3)) / 255
        asked = asked.joined(queries, np.stack([bright / 2, 1 - bright, bright / 2], axis=1).astype(np.float32))
    return asked


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_composes_with_every_attack(adversary, attack):
    asked = asked_by(attack, adversary)
    before = asked.answers.copy(), asked.queries.pixels.copy()
    lesson = adversary.lesson(asked)
    assert lesson.targets.dtype == np.float32
    assert lesson.pixels.shape[1:] == (8, 8, 3)
    np.testing.assert_allclose(lesson.targets.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(asked.answers, before[0])
    np.testing.assert_array_equal(asked.queries.pixels, before[1])


def test_asks_its_number_of_copies_and_shows_the_attack_one_answer_each(adversary):
    asked = asked_by("knockoff", adversary)
    plain = asked_by("knockoff", ADVERSARIES.get("soft")())
    assert len(asked) == 12 * adversary.n_copies
    np.testing.assert_array_equal(adversary.heard(asked).queries.sources, plain.queries.sources)


DISGUISES = [name for name in ADVERSARIES if issubclass(ADVERSARIES.get(name), Disguise)]


@pytest.mark.parametrize("attack", ["knockoff", "jbda beyond its seeds"])
@pytest.mark.parametrize("believes", list(ADVERSARIES))
@pytest.mark.parametrize("name", DISGUISES)
def test_any_two_of_them_together_hear_one_answer_for_each_query_chosen(name, believes, attack):
    """Whatever the one behind does to the pixels, and when all queries of an attack have the one source SYNTHETIC."""
    both = ADVERSARIES.get(name)(believes=believes)
    asked = asked_by(attack, both)
    heard = both.heard(asked)
    assert len(asked) == 12 * both.n_copies
    assert len(heard) == 12
    answers = LabelsOnly().heard(asked).answers if believes == "labels-only" else asked.answers
    means = answers.reshape(12, both.n_copies, 3).mean(axis=1)
    np.testing.assert_allclose(heard.answers, means, atol=1e-6)


def test_the_same_answers_make_the_same_lesson(adversary):
    first, second = (adversary.lesson(asked_by("knockoff", adversary)) for _ in range(2))
    np.testing.assert_array_equal(first.targets, second.targets)
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_nothing_chosen_is_nothing_asked(adversary):
    nothing = nothing_asked(side=(8, 8), n_classes=3)
    assert not len(adversary.expand(nothing.queries))
    assert not len(adversary.heard(nothing))


def test_every_query_has_a_client(adversary):
    clients = adversary.client_of(5, 20)
    assert clients.shape == (20,)
    assert set(clients) == set(range(adversary.n_clients))


def test_who_is_told_nothing_learns_nothing_and_has_an_untrained_copy(adversary):
    refused = stolen([0.0, 0, 0], [0, 0, 0], [0, 0, 0])
    assert len(adversary.lesson(refused)) == 0
    copy = copy_victim(refused, adversary=adversary, student=Student(), seed=3, progress=lambda *_: None)
    fresh = build(Student().architecture, n_classes=3, seed=3)
    np.testing.assert_array_equal(predict(copy, refused.queries.pixels), predict(fresh, refused.queries.pixels))


def test_soft_scales_cut_answers_and_drops_empty_ones():
    lesson = ADVERSARIES.get("soft")().lesson(stolen([0.6, 0.2, 0.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.8]))
    np.testing.assert_allclose(lesson.targets, [[0.75, 0.25, 0], [0.1, 0.1, 0.8]], atol=1e-6)
    assert lesson.pixels[:, 0, 0, 0].tolist() == [0, 2]


def test_labels_only_keeps_the_top_label_alone():
    lesson = ADVERSARIES.get("labels-only")().lesson(stolen([0.6, 0.2, 0.2], [0.3, 0.3, 0.4]))
    np.testing.assert_array_equal(lesson.targets, [[1, 0, 0], [0, 0, 1]])
