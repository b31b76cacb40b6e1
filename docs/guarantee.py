"""Simulate what a calibrated threshold promises, and write the tables: `python docs/guarantee.py`, half a minute on one core.

Scores are drawn from a known distribution, so that the true false-positive rate of each threshold is known, not estimated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from generate import table
from scipy.stats import cauchy, norm

from guard.calibration import calibrate, calibrate_per_class
from guard.types import Floats

N_DRAWS = 4000
CONFIDENCE = 0.99
PAGE = Path(__file__).parent / "generated" / "guarantee.md"


@dataclass(frozen=True, slots=True)
class Scores:
    """A distribution by how n of its scores are drawn, and by the true share of them above a value."""

    name: str
    draw: Callable[[np.random.Generator, int], Floats]
    above: Callable[[float], float]


KINDS = (
    Scores("normal", lambda rng, n: rng.normal(size=n), lambda t: float(norm.sf(t))),
    Scores("heavy tails (Cauchy)", lambda rng, n: rng.standard_cauchy(n), lambda t: float(cauchy.sf(t))),
    # As of a saturated probability: 101 levels only, and above one lies what the uniform has above its upper edge.
    Scores(
        "ties (two decimals)", lambda rng, n: np.round(rng.random(n), 2), lambda t: float(max(0.0, 1 - (round(t, 2) + 0.005)))
    ),
)
SIZES = ((90, 0.05), (300, 0.05), (1000, 0.05), (3000, 0.05), (459, 0.01), (1000, 0.01), (3000, 0.01))


def pooled() -> Iterator[tuple[str, ...]]:
    """Yield one row a distribution and size: how the true rates of the thresholds lie."""
    for kind in KINDS:
        rng = np.random.default_rng(0)
        for n, target in SIZES:
            rates = np.array(
                [kind.above(calibrate(kind.draw(rng, n), target_fpr=target, confidence=CONFIDENCE).value) for _ in range(N_DRAWS)]
            )
            over = float((rates > target).mean())
            row = (rates.mean(), np.quantile(rates, 0.99), rates.max())
            yield (kind.name, str(n), f"{target:g}", *(f"{value:.4f}" for value in row), f"{100 * over:.2f} %")


def by_class() -> Iterator[tuple[str, ...]]:
    """Yield one row a number of images: ten classes whose honest scores differ, each held to 5 %, and one threshold."""
    target, shift = 0.05, np.linspace(0, 1.5, 10)
    for n in (2000, 5000):
        rng = np.random.default_rng(0)
        own, common = [], []
        for _ in range(N_DRAWS // 4):
            top = np.repeat(np.arange(10), n // 10)
            found = calibrate_per_class(
                rng.normal(size=n) + shift[top], top, n_classes=10, target_fpr=target, confidence=CONFIDENCE
            )
            own.append(norm.sf(np.array(found.per_class) - shift))
            common.append(norm.sf(found.value - shift))
        rates, alike = np.array(own), np.array(common)
        yield (
            str(n), f"{rates.mean():.4f}", f"{100 * (rates > target).mean():.2f} %",
            f"{100 * (rates > target).any(axis=1).mean():.1f} %",
            f"{alike.mean():.4f}", f"{alike.mean(axis=0).max():.4f}",
        )  # fmt: skip


def main() -> None:
    """Write both tables."""
    head = ("scores", "n", "target", "mean rate", "99 % quantile", "highest", "draws over the target (promised: at most 1 %)")
    heads = (
        "n", "mean rate of a class", "classes over the target (promised: at most 1 %)",
        "draws with any class over (not promised)",
        "one threshold: mean rate", "one threshold: rate of the worst class",
    )  # fmt: skip
    PAGE.write_text(f"{table(head, pooled())}\n{table(heads, by_class())}", encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
