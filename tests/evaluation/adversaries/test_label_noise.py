"""Noise-corrected and drop-suspicious, on coloured patterns whose answers are shuffled for a known share of rows."""

import numpy as np
import pytest

from evaluation.adversaries.base import Adversary
from evaluation.adversaries.drop_suspicious import DropSuspicious
from evaluation.adversaries.held_out import held_out
from evaluation.adversaries.noise_corrected import MAX_FLIPS, NoiseCorrected, flip_rate
from evaluation.adversaries.soft import Soft
from evaluation.metrics import accuracy
from evaluation.surrogate import Student, copy_victim
from evaluation.training import Training, predict
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError

K, STUDENT = 5, Student(training=Training(epochs=10, flips=False))


def nothing(done: int, total: int) -> None:
    """Nobody is told."""


def patterns(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pattern of 4 x 4 colours for each class, at a contrast of 14 grey levels under noise of 40."""
    labels = np.arange(n) % K
    shapes = np.random.default_rng(99).normal(size=(K, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    noise = np.random.default_rng(seed).normal(0, 40, (n, 16, 16, 3))
    return np.clip(128 + 14 * shapes[labels] + noise, 0, 255).astype(np.uint8), labels


def stolen(n: int, *, shuffled: float) -> TransferSet:
    """Answers of at least .7 to the label, and for a share of rows in random order."""
    rng = np.random.default_rng(0)
    pixels, labels = patterns(n, seed=0)
    answers = 0.3 * rng.dirichlet(np.ones(K), n)
    answers[np.arange(n), labels] += 0.7
    hit = rng.random(n) < shuffled
    answers[hit] = rng.permuted(answers[hit], axis=1)
    return TransferSet(Queries(pixels, np.arange(n)), answers.astype(np.float32))


def copied(transfer: TransferSet, adversary: Adversary) -> float:
    pixels, labels = patterns(600, seed=1)
    return accuracy(
        predict(copy_victim(transfer, adversary=adversary, student=STUDENT, seed=0, progress=nothing), pixels), labels
    )


@pytest.fixture(scope="module")
def half_shuffled() -> TransferSet:
    return stolen(1000, shuffled=0.5)


@pytest.mark.large
def test_both_beat_believing_every_answer_by_five_points_when_half_are_shuffled(half_shuffled):
    """Measured: .69 believed, .80 corrected, .85 with the suspicious dropped."""
    transfer = half_shuffled
    believed = copied(transfer, Soft())
    assert copied(transfer, NoiseCorrected()) > believed + 0.05
    assert copied(transfer, DropSuspicious()) > believed + 0.05


@pytest.mark.large
def test_both_cost_next_to_nothing_when_no_answer_is_false():
    transfer = stolen(600, shuffled=0)
    believed = copied(transfer, Soft())
    assert copied(transfer, NoiseCorrected()) > believed - 0.05
    assert copied(transfer, DropSuspicious()) > believed - 0.05


def test_more_false_answers_than_true_ones_are_dropped(half_shuffled):
    transfer = half_shuffled
    false = transfer.answers.argmax(axis=1) != np.arange(1000) % K
    kept = {image.tobytes() for image in DropSuspicious().lesson(transfer).pixels}
    dropped = np.array([image.tobytes() not in kept for image in transfer.queries.pixels])
    assert dropped[false].mean() > 2 * dropped[~false].mean()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_the_flip_rate_is_exact_where_copies_are_right(share):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, 5000)
    answered = np.where(rng.random(5000) < share, rng.integers(0, K, 5000), labels)
    opinions = np.eye(K, dtype=np.float32)[labels]
    # 1,000 anchors: five standard errors are below .1.
    assert flip_rate(opinions, answered, anchors=0.2) == pytest.approx(share, abs=0.1)


def test_the_flip_rate_of_copies_that_guess_stays_below_one():
    rng = np.random.default_rng(0)
    opinions = rng.dirichlet(np.ones(K), 500).astype(np.float32)
    assert flip_rate(opinions, (opinions.argmax(axis=1) + 1) % K, anchors=0.2) == MAX_FLIPS


def test_the_estimate_is_near_the_truth_on_images(half_shuffled):
    transfer = half_shuffled
    opinions = held_out(transfer, epochs=10)
    assert opinions is not None
    assert flip_rate(opinions, transfer.answers.argmax(axis=1), anchors=0.2) == pytest.approx(0.5, abs=0.15)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="anchors 0"):
        NoiseCorrected(anchors=0)
    with pytest.raises(ConfigError, match="epochs 0"):
        DropSuspicious(epochs=0)
