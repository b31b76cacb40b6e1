"""Labels only: whatever else is done to an answer, what it ranks first is all that is used of it."""

import numpy as np
import pytest

from evaluation.adversaries.labels_only import LabelsOnly
from evaluation.attacks.base import Pool, Turn
from evaluation.attacks.registry import ATTACKS
from evaluation.transfer import TransferSet, nothing_asked
from guard.types import Floats


def answers_to(pixels: np.ndarray, *, sharpness: float) -> Floats:
    """Answer by colour; how sure the answer is depends on `sharpness`, and what it ranks first does not."""
    odds = np.exp(sharpness * pixels.mean(axis=(1, 2)) / 255)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def carried_out(attack: str, *, sharpness: float) -> TransferSet:
    pool = Pool(np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8), np.arange(120) % 4)
    asked = nothing_asked(side=(8, 8), n_classes=3)
    options = {"n_seeds": 8} if attack == "jbda" else {"first": 8} if attack.startswith("activethief") else {}
    while len(asked) < 24:
        queries = ATTACKS.get(attack)(**options).next_queries(Turn(pool, LabelsOnly().heard(asked), 8, 1))
        asked = asked.joined(queries, answers_to(queries.pixels, sharpness=sharpness))
    return asked


@pytest.mark.parametrize("attack", ["knockoff-adaptive", "activethief-kcenter", "activethief-uncertainty", "jbda"])
def test_asks_and_learns_the_same_behind_whatever_keeps_the_top_label(attack: str) -> None:
    sure, unsure = (carried_out(attack, sharpness=sharpness) for sharpness in (200.0, 1.0))
    assert not np.allclose(sure.answers, unsure.answers, atol=0.1)
    np.testing.assert_array_equal(sure.queries.pixels, unsure.queries.pixels)
    np.testing.assert_array_equal(*(LabelsOnly().lesson(asked).targets for asked in (sure, unsure)))


def test_refused_answer_is_no_label_to_the_attack_either() -> None:
    asked = nothing_asked(side=(8, 8), n_classes=3).joined(
        Pool(np.zeros((2, 8, 8, 3), np.uint8)).take(np.arange(2)), np.array([[0, 0, 0], [0.2, 0.2, 0.6]], np.float32)
    )
    assert LabelsOnly().heard(asked).answers.tolist() == [[0, 0, 0], [0, 0, 1]]
