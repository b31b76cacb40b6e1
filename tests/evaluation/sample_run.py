"""A run with figures of our choosing, for tests of what is written about a run."""

import numpy as np

from evaluation.artefacts import Artefacts, Example
from evaluation.results import DetectorResult, PolicyResult, Results, VictimResult


def detector(name: str, tpr: float, fpr: float) -> DetectorResult:
    """Return a detector with intervals of two points on either side."""
    return DetectorResult(
        name=name,
        tpr=tpr,
        fpr=fpr,
        n_in=812,
        n_out=4000,
        tpr_interval=(max(0.0, tpr - 0.02), min(1.0, tpr + 0.02)),
        fpr_interval=(max(0.0, fpr - 0.02), min(1.0, fpr + 0.02)),
        target_fpr=0.05,
        threshold=2.0,
        n_calibration=900,
        auroc=0.9,
    )


def policy(name: str, accuracy: float, *, flagged: int = 3848) -> PolicyResult:
    """Return an attack with 4,000 queries on a victim of 0.84 in five classes."""
    return PolicyResult(
        policy=name,
        surrogate_accuracy=accuracy,
        recovery=accuracy / 0.84,
        recovery_interval=(accuracy / 0.84 - 0.04, accuracy / 0.84 + 0.05),
        net_recovery=(accuracy - 0.2) / 0.64,
        fidelity=accuracy,
        queries=4000,
        flagged=flagged,
        benign_accuracy=0.832,
        benign_interval=(0.801, 0.857),
        benign_flagged=8,
        benign_n=812,
        budget_curve=((1000, accuracy / 0.9), (4000, accuracy / 0.84)),
    )


def results() -> Results:
    """Return a run of three policies."""
    return Results(
        command="knockguard demo --seed 0",
        created="2026-01-01T10:00:00+00:00",
        victim=VictimResult(
            accuracy=0.84,
            chance=0.2,
            n_test=1281,
            architecture="small-cnn",
            labels=("tropical", "polar"),
            interval=(0.812, 0.866),
            groups=20,
        ),
        detector=detector("linear", 0.96, 0.03),
        baseline=detector("low-level statistics", 0.06, 0.04),
        other_detectors=(detector("energy", 0.14, 0.04),),
        policies=(policy("observe", 0.78), policy("label-only", 0.77), policy("shuffle", 0.29)),
        versions={"python": "3.11"},
        seeds={"victim": 0},
        stage_seconds={"train": 1.5},
        settings={"epochs": 8, "pool": "<photographs>"},
    )


def artefacts() -> Artefacts:
    """Return scores on both sides of a threshold, and an example of each kind."""
    rng = np.random.default_rng(0)
    kinds = [(attack, flagged) for attack in (True, False) for flagged in (True, False)]
    return Artefacts(
        in_scores=rng.normal(-3, 1, 812).astype(np.float32),
        out_scores=rng.normal(5, 1, 4000).astype(np.float32),
        threshold=2.0,
        examples=tuple(
            Example(rng.integers(0, 256, (8 + i, 8, 3), dtype=np.uint8), f"score {i}", attack, flagged)
            for i, (attack, flagged) in enumerate(kinds)
        ),
    )
