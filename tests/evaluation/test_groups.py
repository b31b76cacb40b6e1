"""Images that belong together: whole groups are redrawn, and intervals hold what is true of other groups."""

from statistics import NormalDist

import numpy as np
import pytest

from evaluation.baseline import Traces
from evaluation.detection import Measure, measure
from evaluation.groups import ALONE, Groups, redrawing
from guard.calibration import Threshold

THRESHOLD = Threshold(1.645, 0.05, 0.99, 500, 0.03)
N_CLASSES, EACH = 25, 40
TRUTH = 1 - NormalDist(1.5, 1.25).cdf(1.645)  # a class lies around 1.5 by .75, and its images around it by 1


def test_draw_is_of_whole_groups() -> None:
    groups = np.array([3, 1, 3, 2, 1, 3])
    rows = redrawing(6, groups)(np.random.default_rng(0))
    for name in (1, 2, 3):
        counts = np.bincount(rows, minlength=6)[groups == name]
        assert len(set(counts.tolist())) == 1
    sizes = {len(redrawing(6, groups)(np.random.default_rng(seed))) for seed in range(20)}
    assert len(sizes) > 1  # three groups of 1, 2 and 3


def test_draw_without_groups_is_of_images() -> None:
    rows = redrawing(50, None)(np.random.default_rng(0))
    assert len(rows) == 50
    assert 20 < len(np.unique(rows)) < 45


def test_groups_of_the_images_that_are_kept() -> None:
    groups = Groups(np.array([0, 0]), np.array([1, 2, 3]))
    left = groups.kept(np.array([True, False, True]))
    assert left.inside is groups.inside
    assert left.outside is not None
    assert left.outside.tolist() == [1, 3]
    assert ALONE.kept(np.array([True])).outside is None


def by_class(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Groups]:
    """Scores of in and out images; the out ones are of classes that are seen well or badly."""
    classes = np.repeat(np.arange(N_CLASSES), EACH)
    outside = rng.normal(1.5, 0.75, N_CLASSES)[classes] + rng.normal(size=len(classes))
    return rng.normal(size=600).astype(np.float32), outside.astype(np.float32), Groups(outside=classes)


def intervals(n: int) -> list[tuple[Measure, Measure]]:
    rng, found = np.random.default_rng(0), []
    for _ in range(n):
        inside, outside, groups = by_class(rng)
        found.append(tuple(measure(inside, outside, THRESHOLD, seed=0, groups=g) for g in (groups, ALONE)))
    return found


def test_rate_holds_what_is_true_of_other_classes_and_by_images_alone_it_would_not() -> None:
    found = intervals(60)
    grouped, alone = (sum(pair[i].tpr.low < TRUTH < pair[i].tpr.high for pair in found) for i in (0, 1))
    assert grouped >= 52
    assert alone <= 42
    assert found[0][0].tpr.n_groups == N_CLASSES
    wider = [(a.auroc_interval[1] - a.auroc_interval[0]) / (b.auroc_interval[1] - b.auroc_interval[0]) for a, b in found]
    assert np.median(wider) > 1.5


def test_margin_holds_what_is_true_of_other_classes_and_by_images_alone_it_would_not() -> None:
    """The baseline tells nothing, so the margin is the detector's rate less its false-positive rate."""
    rng, held = np.random.default_rng(0), [0, 0]
    for _ in range(60):
        inside, outside, groups = by_class(rng)
        nothing = (
            {"linear": rng.normal(size=600).astype(np.float32)},
            {"linear": rng.normal(size=len(outside)).astype(np.float32)},
        )
        for i, of in enumerate((groups, ALONE)):
            margin = Traces(*nothing, of).margin(inside > 1.645, outside > 1.645, seed=0)
            held[i] += margin.low < TRUTH - 0.05 < margin.high
    assert held[0] >= 51
    assert held[1] <= 44


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_frames_of_one_track_are_one_case(side: str) -> None:
    once = np.random.default_rng(0).normal(size=40).astype(np.float32)
    often, groups = np.repeat(once, 20), np.repeat(np.arange(40), 20)
    alone = measure(once, once, THRESHOLD, seed=0)
    found = measure(often, often, THRESHOLD, seed=0, groups=Groups(**{side: groups}))
    rate, single = (found.fpr, alone.fpr) if side == "inside" else (found.tpr, alone.tpr)
    assert rate.value == single.value
    assert rate.high - rate.low >= single.high - single.low
