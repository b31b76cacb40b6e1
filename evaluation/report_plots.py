"""The plots of a report, each as SVG text that stands in the page itself."""

import numpy as np

from evaluation.artefacts import Artefacts
from evaluation.figure1 import figure1
from evaluation.plot_frame import CUSTOMER, GRID, HARM, INK, SAFE, bin_edges, canvas, log_if_steep, svg
from evaluation.report_text import HARDLY, chance_recovery, ratio, share
from evaluation.results import UNDEFENDED, Results

_SERIES = (HARM, "#0f766e", "#7c5cbf", "#b7791f", "#3b6fb6", "#64748b")


def recovery_plot(results: Results) -> str:
    """Recovery by policy as bars, each copy a dot, with the line at which a copy has learned nothing."""
    policies = results.policies
    with canvas(7.2, 0.75 + 0.48 * len(policies)) as (figure, axes):
        y = np.arange(len(policies))[::-1]
        worst = max(p.recovery for p in policies)
        colours = [HARM if p.policy == UNDEFENDED or p.recovery > HARDLY * worst else SAFE for p in policies]
        axes.barh(y, [p.recovery for p in policies], color=colours, height=0.58)
        for place, policy in zip(y, policies, strict=True):  # every copy as a dot: a mean of three hides a lucky one
            axes.plot(policy.copies, [place] * len(policy.copies), "o", color=INK, markersize=3.5, zorder=3, clip_on=False)
            end = max(policy.recovery, *policy.copies) if policy.copies else policy.recovery
            axes.annotate(
                ratio(policy.recovery), (end, place), (7, 0), textcoords="offset points",
                color=INK, fontweight="bold", va="center", annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(y, [p.policy for p in policies], color=INK, fontsize=11)
        axes.tick_params(axis="y", length=0)
        floor = chance_recovery(results)
        axes.axvline(floor, color=INK, linestyle=(0, (4, 3)), linewidth=1.1)
        axes.annotate(
            f"learned nothing, {ratio(floor)}", (floor, 1.0), (4, 2), xycoords=("data", "axes fraction"),
            textcoords="offset points", color=INK, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        axes.set_xlim(0, max(1.0, *(r for p in policies for r in (p.recovery, *p.copies))) * 1.1)
        axes.set_xlabel("recovery: the copy's accuracy over the victim's")
        return svg(figure, "Recovery by policy")


def score_plot(artefacts: Artefacts) -> str:
    """Histograms of the deciding score: customers' images and the copier's, with the threshold between them."""
    inside, outside = artefacts.in_scores, artefacts.out_scores
    edges = bin_edges(inside, outside, artefacts.threshold)
    with canvas(7.2, 3.0) as (figure, axes):
        for scores, colour, label in ((inside, CUSTOMER, "customers' kind"), (outside, HARM, "the copier's pool")):
            weights = np.full(len(scores), 100 / max(1, len(scores)))
            clipped = np.clip(scores, edges[0], edges[-1])
            axes.hist(clipped, edges.tolist(), weights=weights, color=colour, alpha=0.62, label=f"{label} (n = {len(scores):,})")
        axes.axvline(artefacts.threshold, color=INK, linewidth=1.3)
        flagged = (share(float((s > artefacts.threshold).mean())) for s in (inside, outside) if len(s))
        axes.annotate(
            f"flagged: {' and '.join(flagged)} \N{RIGHTWARDS ARROW}", (artefacts.threshold, 1.0), (5, 2),
            xycoords=("data", "axes fraction"), textcoords="offset points", color=INK, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        log_if_steep(axes)
        axes.set_xlabel("score of the deciding detector, higher = more out")
        axes.set_ylabel("% of images")
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
        return svg(figure, "Scores of customers' and of the copier's images, with the threshold")


def budget_plot(results: Results) -> str | None:
    """Recovery by number of queries, a line a policy, shaded from the poorest copy to the best; None if no curve was measured."""
    curves = [p for p in results.policies if p.budget_curve]
    if not curves:
        return None
    with canvas(7.2, 3.0) as (figure, axes):
        others = iter(_SERIES[1:] * len(curves))
        for policy in curves:
            queries, recovery = zip(*policy.budget_curve, strict=True)
            colour = HARM if policy.policy == UNDEFENDED else next(others)
            if policy.curve_copies:
                lows, highs = zip(*((min(copies), max(copies)) for copies in policy.curve_copies), strict=True)
                axes.fill_between(queries, lows, highs, color=colour, alpha=0.15, linewidth=0)
            axes.plot(queries, recovery, color=colour, marker="o", markersize=4, linewidth=1.8, label=policy.policy)
        axes.axhline(chance_recovery(results), color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label="learned nothing")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("queries that the copier paid for")
        axes.set_ylabel("recovery")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return svg(figure, "Recovery by query budget")


def class_plot(results: Results) -> str | None:
    """Figure 1: the undefended answers by class, with the accuracies of victim and copies; None if that was not measured."""
    open_, defended = results.undefended or results.policies[0], results.strongest
    if not (open_.answers and open_.recalls and results.victim.recalls):
        return None
    copies = {f"copy, {open_.policy}": open_.recalls}
    if defended is not None and defended is not open_ and defended.recalls:
        copies[f"copy behind {defended.policy}"] = defended.recalls
    return figure1(open_.answers, results.victim.recalls, copies, results.victim.labels)
