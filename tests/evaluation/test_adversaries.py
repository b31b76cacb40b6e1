"""Adversaries: a contract over the registry, and what each makes of an answer."""

import numpy as np
import pytest

from evaluation.adversaries.base import Adversary
from evaluation.adversaries.registry import ADVERSARIES
from evaluation.transfer import Queries, TransferSet
from guard.errors import InvalidInputError


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


def test_too_few_answers_are_refused(adversary):
    with pytest.raises(InvalidInputError, match="at least 2"):
        adversary.lesson(stolen([0.7, 0.2, 0.1]))


def test_soft_scales_cut_answers_and_drops_empty_ones():
    lesson = ADVERSARIES.get("soft")().lesson(stolen([0.6, 0.2, 0.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.8]))
    np.testing.assert_allclose(lesson.targets, [[0.75, 0.25, 0], [0.1, 0.1, 0.8]], atol=1e-6)
    assert lesson.pixels[:, 0, 0, 0].tolist() == [0, 2]


def test_labels_only_keeps_the_top_label_alone():
    lesson = ADVERSARIES.get("labels-only")().lesson(stolen([0.6, 0.2, 0.2], [0.3, 0.3, 0.4]))
    np.testing.assert_array_equal(lesson.targets, [[1, 0, 0], [0, 0, 1]])
