"""Averaging against the policies themselves: what near-duplicates undo, and what they do not."""

from hashlib import sha256

import numpy as np

from evaluation.adversaries.averaging import Averaging
from evaluation.adversaries.soft import Soft
from evaluation.transfer import Queries, TransferSet
from guard.policies.base import Policy, Rows
from guard.policies.label_only import LabelOnly
from guard.policies.shuffle import Shuffle

N, K = 200, 10


def images() -> tuple[Queries, np.ndarray]:
    rng = np.random.default_rng(0)
    return Queries(rng.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8), np.arange(N)), rng.integers(0, K, N)


def answered(queries: Queries, labels: np.ndarray, policy: Policy, flagged: np.ndarray) -> TransferSet:
    """A victim that gives .82 to its label; `policy` answers the flagged rows, keyed by their pixels as a gateway keys them."""
    true = np.full((len(queries), K), 0.02, np.float32)
    true[np.arange(len(queries)), labels[queries.sources]] = 0.82
    keys = [sha256(image.tobytes()).digest() for image in queries.pixels]
    return TransferSet(queries, np.where(flagged[:, None], policy.answer(Rows(true, keys)), true))


def false_labels(targets: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> float:
    return float((targets.argmax(axis=1) != labels[rows]).mean())


def test_images_that_are_always_shuffled_are_found_and_left_out():
    queries, labels = images()
    asked = Averaging().expand(queries)
    flagged = asked.sources % 2 == 0
    soft = Soft().lesson(answered(asked, labels, Shuffle(), flagged))
    assert false_labels(soft.targets, asked.sources, labels) > 0.4  # half of it flagged, nine in ten of those false
    lesson = Averaging().lesson(answered(asked, labels, Shuffle(), flagged))
    kept = np.array([np.flatnonzero((queries.pixels == image).all(axis=(1, 2, 3)))[0] for image in lesson.pixels])
    assert set(range(1, N, 2)) <= set(kept)
    # Three of five permutations agree on a class in 8.6 % of rows: of 100, more than 20 would be one in 10,000.
    assert len(kept) <= N // 2 + 20
    assert false_labels(lesson.targets, kept, labels) < 0.12


def test_images_that_are_shuffled_in_some_copies_get_their_label_back():
    """Near the threshold: each copy is flagged with chance .4."""
    queries, labels = images()
    asked = Averaging(copies=9, agreement=0.3).expand(queries)
    flagged = np.random.default_rng(1).random(len(asked)) < 0.4
    stolen = answered(asked, labels, Shuffle(), flagged)
    means = Averaging(copies=9, agreement=0.3).heard(stolen)
    assert false_labels(stolen.answers, asked.sources, labels) > 0.3
    assert false_labels(means.answers, means.queries.sources, labels) < 0.03


def test_a_shuffle_of_every_copy_leaves_nothing_to_average_back():
    queries, labels = images()
    asked = Averaging(copies=50).expand(queries)
    means = Averaging(copies=50).heard(answered(asked, labels, Shuffle(), np.ones(len(asked), np.bool_)))
    # The mean tends to the even answer: the label is at the top as often as by chance, .1 (below .2 but once in 10,000).
    assert np.abs(means.answers - 1 / K).mean() < 0.04
    assert false_labels(means.answers, means.queries.sources, labels) > 0.8


def test_label_only_gives_no_value_back():
    queries, labels = images()
    asked = Averaging().expand(queries)
    lesson = Averaging().lesson(answered(asked, labels, LabelOnly(), np.ones(len(asked), np.bool_)))
    np.testing.assert_array_equal(lesson.targets, np.eye(K, dtype=np.float32)[labels])


def test_what_was_asked_plainly_is_believed_as_it_is():
    queries, labels = images()
    stolen = answered(queries, labels, LabelOnly(), np.zeros(N, np.bool_))
    lesson = Averaging().lesson(stolen)
    np.testing.assert_array_equal(lesson.pixels, queries.pixels)
    np.testing.assert_allclose(lesson.targets, stolen.answers, atol=1e-6)


def test_copies_lie_within_the_grey_levels_and_the_first_is_the_image():
    queries, _ = images()
    asked = Averaging(copies=4, levels=3).expand(queries)
    assert np.abs(asked.pixels.astype(int) - queries.pixels.repeat(4, axis=0)).max() == 3
    np.testing.assert_array_equal(asked.pixels[::4], queries.pixels)


def test_copies_that_were_refused_leave_the_mean_to_the_others():
    queries, labels = images()
    asked = Averaging(copies=2).expand(queries)
    stolen = answered(asked, labels, LabelOnly(), np.zeros(len(asked), np.bool_))
    stolen.answers[::2] = 0
    np.testing.assert_allclose(Averaging(copies=2).heard(stolen).answers, stolen.answers[1::2], atol=1e-6)
