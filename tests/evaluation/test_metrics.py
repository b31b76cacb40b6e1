"""Measures: values worked out by hand, and the properties that define them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import (
    accuracy,
    answer_counts,
    auroc,
    balanced_accuracy,
    by_class,
    fidelity,
    mean_by_class,
    net_recovery,
    recalls,
    recovery,
)
from guard.errors import InvalidInputError

LOGITS = np.array([[2, 1], [3, 0], [1, 0], [0, 1]], np.float32)  # tops: 0 0 0 1
LABELS = np.array([0, 0, 0, 1])


def test_accuracy_counts_top_labels():
    assert accuracy(LOGITS, np.array([0, 0, 1, 1])) == 0.75


def test_balanced_accuracy_weighs_classes_alike():
    always_first = np.array([[1, 0]] * 4, np.float32)
    assert accuracy(always_first, LABELS) == 0.75
    assert balanced_accuracy(always_first, LABELS) == 0.5


def test_class_without_an_image_is_left_out():
    assert recalls(LOGITS, np.array([0, 0, 0, 0])) == {0: 0.75}


def test_recalls_by_class_keep_the_place_of_a_class_without_an_image():
    three = np.column_stack([LOGITS, np.zeros(4, np.float32)])
    assert by_class(three, LABELS) == (1.0, 1.0, None)
    assert mean_by_class([(1.0, 0.5, None), (0.5, 0.5, None)]) == (0.75, 0.5, None)


def test_refused_answers_are_counted_for_no_class():
    assert answer_counts(np.array([[0.1, 0.9], [0, 0], [0.6, 0.4], [0.2, 0.8]], np.float32)) == (1, 2)


def test_fidelity_is_agreement_not_correctness():
    assert fidelity(LOGITS, LOGITS[::-1]) == 0.5


def test_net_recovery_is_zero_at_chance_and_one_at_the_victim():
    assert net_recovery(0.2, 0.8, chance=0.2) == 0
    assert net_recovery(0.8, 0.8, chance=0.2) == 1
    assert recovery(0.6, 0.8) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "call",
    [
        lambda: recovery(0.5, 0.0),
        lambda: net_recovery(0.2, 0.2, chance=0.2),
        lambda: accuracy(LOGITS, LABELS[:2]),
        lambda: accuracy(LOGITS[:0], LABELS[:0]),
        lambda: fidelity(LOGITS, LOGITS[:2]),
        lambda: auroc(np.array([], np.float32), np.array([1], np.float32)),
    ],
)
def test_what_cannot_be_measured_is_refused(call):
    with pytest.raises(InvalidInputError):
        call()


scores = st.lists(st.integers(-5, 5), min_size=1, max_size=20).map(lambda x: np.array(x, np.float32))


@given(scores, scores)
def test_auroc_is_the_share_of_pairs_in_order(inside, outside):
    pairs = [(o > i) + 0.5 * (o == i) for o in outside for i in inside]
    assert auroc(inside, outside) == pytest.approx(np.mean(pairs))
    assert auroc(outside, inside) == pytest.approx(1 - np.mean(pairs))
