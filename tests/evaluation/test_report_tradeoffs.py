"""What is traded for what: the frontier holds what nothing beats, and the ROC is the detector's."""

import numpy as np
from sample_run import artefacts, policy, results

from evaluation.metrics import auroc
from evaluation.report import page
from evaluation.report_tradeoffs import frontier, frontier_plot, roc, roc_plot


def at(name: str, copied: float, benign: float | None):
    return policy(name, copied).model_copy(update={"benign_accuracy": benign})


def test_frontier_leaves_out_what_another_beats_on_both_sides() -> None:
    policies = (
        at("observe", 0.78, 0.84), at("shuffle", 0.30, 0.82), at("worse", 0.40, 0.81), at("refuse", 0.20, 0.70),
        at("same accuracy, more harm", 0.35, 0.82), at("unmeasured", 0.10, None),
    )  # fmt: skip
    run = results().model_copy(update={"policies": policies})
    assert [p.policy for p in frontier(run)] == ["refuse", "shuffle", "observe"]
    drawn = frontier_plot(run)
    assert drawn is not None
    assert "worse" in drawn
    assert "unmeasured" not in drawn


def test_one_policy_makes_no_plot() -> None:
    assert frontier_plot(results().model_copy(update={"policies": (policy("observe", 0.7),)})) is None


def test_area_under_the_curve_is_the_auroc() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 300).astype(np.float32), rng.integers(4, 13, 200).astype(np.float32)  # with ties
    false, true = roc(inside, outside)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.isclose(np.trapezoid(true, false), auroc(inside, outside))
    assert roc_plot(artefacts()) is not None


def test_page_shows_both() -> None:
    text = page(results(), artefacts())
    assert "Harm against utility" in text
    assert "flags on customers" in text
