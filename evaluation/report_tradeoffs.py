"""What is traded for what: a copier's recovery for customers' accuracy, and flags on the one for flags on the other."""

import numpy as np

from evaluation.artefacts import Artefacts
from evaluation.plot_frame import GRID, HARM, INK, SAFE, canvas, svg
from evaluation.report_text import chance_recovery, share
from evaluation.results import PolicyResult, Results
from guard.types import Floats


def frontier(results: Results) -> list[PolicyResult]:
    """Return the policies that no other beats on both sides, customers' accuracy and recovery, the best for customers last.

    Those whose customers were not measured are left out.
    """
    known = [(p.benign_accuracy, p) for p in results.policies if p.benign_accuracy is not None]
    kept: list[PolicyResult] = []
    # From the best for customers on: whoever comes later must leave the copier less than all before.
    for _, policy in sorted(known, key=lambda pair: (-pair[0], pair[1].recovery)):
        if not kept or policy.recovery < kept[-1].recovery:
            kept.append(policy)
    return kept[::-1]


def frontier_plot(results: Results) -> str | None:
    """Recovery over customers' accuracy, a point a policy and a line through the frontier; None with fewer than two points."""
    points = [(p.benign_accuracy, p.recovery, p.policy) for p in results.policies if p.benign_accuracy is not None]
    if len(points) < 2:
        return None
    best = frontier(results)
    with canvas(7.2, 3.2) as (figure, axes):
        axes.plot([p.benign_accuracy or 0.0 for p in best], [p.recovery for p in best], color=SAFE, linewidth=1.4, zorder=1)
        names = {p.policy for p in best}
        for i, (accuracy, recovered, name) in enumerate(sorted(points)):
            axes.scatter(accuracy, recovered, color=SAFE if name in names else HARM, s=36, zorder=2)
            side, shift = ("left", 7) if i % 2 else ("right", -7)  # in turn, so that names of close points do not meet
            axes.annotate(
                name, (accuracy, recovered), (shift, 5), textcoords="offset points", color=INK, fontsize=9, ha=side
            )  # fmt: skip
        axes.axhline(chance_recovery(results), color=INK, linestyle=(0, (4, 3)), linewidth=1.0)
        axes.set_ylim(0, 1.12 * max(recovered for _, recovered, _ in points) or 1.0)
        axes.margins(x=0.18)
        axes.set_xlabel("customers' accuracy, better to the right")
        axes.set_ylabel("recovery, better below")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        return svg(figure, "Harm against utility, by policy")


def roc(inside: Floats, outside: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rates, each (m,), at every threshold from above all scores to below all.

    A score that is not a number is above all, as the guard has it.
    """
    inside, outside = (np.where(np.isnan(scores), np.inf, scores) for scores in (inside, outside))
    thresholds = np.unique(np.concatenate([inside, outside]))
    rates = [1 - np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores) for scores in (inside, outside)]
    false, true = (np.concatenate([[0.0], rate[::-1]]) for rate in rates)
    return false, true


def roc_plot(artefacts: Artefacts) -> str | None:
    """The deciding detector's ROC with the point where its threshold stands; None without scores on both sides."""
    if not (len(artefacts.in_scores) and len(artefacts.out_scores)):
        return None
    false, true = roc(artefacts.in_scores, artefacts.out_scores)
    x, y = (float((~(scores <= artefacts.threshold)).mean()) for scores in (artefacts.in_scores, artefacts.out_scores))
    with canvas(7.2, 3.2) as (figure, axes):
        axes.plot(false, true, color=SAFE, linewidth=1.8)
        axes.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=1.0)
        axes.scatter(x, y, color=HARM, s=40, zorder=3)
        axes.annotate(
            f"threshold: {share(y)} of out, {share(x)} of in",
            (x, y),
            (10, -12),
            textcoords="offset points",
            color=INK,
            fontsize=9,
        )
        axes.set_xlabel("customers' images flagged")
        axes.set_ylabel("the copier's queries flagged")
        return svg(figure, "Detector: flags on the copier's queries against flags on customers' images")
