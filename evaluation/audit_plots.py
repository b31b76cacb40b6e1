"""The plots of an audit."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from evaluation.audit_results import Audit
from evaluation.plot_frame import CUSTOMER, GRID, HARM, INK, MUTED, SAFE, canvas, svg
from guard.rate import Rate

_COLOURS = (SAFE, "#7c5cbf", "#b7791f", CUSTOMER, "#64748b")


def detection_plot(audit: Audit) -> str:
    """Share of each out pool that is flagged, matched, with what file format alone gives away below it."""
    pools = audit.pools
    with canvas(7.2, 0.9 + 0.62 * len(pools)) as (figure, axes):
        for place, pool in enumerate(reversed(pools)):
            _whisker(axes, pool.matched[audit.detector].tpr, place + 0.15, SAFE, audit.detector if place == 0 else None)
            _whisker(axes, pool.low_level.tpr, place - 0.15, HARM, "low-level statistics" if place == 0 else None)
        axes.axvline(100 * audit.target_fpr, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label="target of the threshold")
        axes.set_yticks(range(len(pools)), [pool.name for pool in reversed(pools)], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(pools) - 0.4)
        _percent(axes, "out images flagged, matched chain (%, 95 % interval)")
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        return svg(figure, "Share of each out pool that is flagged")


def benign_plot(audit: Audit) -> str:
    """Share of the in images that is flagged after each re-encoding, with the target and twice the target."""
    names = list(audit.benign)
    limit = 2 * audit.target_fpr
    with canvas(7.2, 0.9 + 0.3 * len(names)) as (figure, axes):
        for place, name in enumerate(reversed(names)):
            _whisker(axes, audit.benign[name], place, HARM if audit.benign[name].low > limit else CUSTOMER, None)
        for value in (audit.target_fpr, limit):
            axes.axvline(100 * value, color=INK, linestyle=(0, (4, 3)), linewidth=1.0)
        axes.annotate(
            "target, and twice the target", (100 * limit, 1.0), (3, 2), xycoords=("data", "axes fraction"),
            textcoords="offset points", color=MUTED, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        axes.set_yticks(range(len(names)), list(reversed(names)), color=INK)
        axes.tick_params(axis="y", length=0)
        high = max(rate.high for rate in audit.benign.values())
        _percent(axes, "in images flagged (%, 95 % interval)", most=max(100 * high * 1.05, 250 * audit.target_fpr))
        return svg(figure, "Share of customers' images that is flagged after each re-encoding")


def distance_plot(audit: Audit) -> str | None:
    """Share flagged by distance from the nearest class, a line a pool; None where no pool has distances."""
    pools = [pool for pool in audit.pools if pool.distances]
    if not pools:
        return None
    with canvas(7.2, 3.0) as (figure, axes):
        for pool, colour in zip(pools, _COLOURS * len(pools), strict=False):
            x = [(part.low + part.high) / 2 for part in pool.distances]
            rates = [part.flagged for part in pool.distances]
            y, low, high = (np.array([100 * v for v in values]) for values in _columns(rates))
            axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
            axes.plot(x, y, color=colour, marker="o", markersize=4, linewidth=1.8, label=pool.name)
        axes.axvline(1.0, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label="the median in image")
        axes.set_ylim(0, 102)
        axes.set_xlabel("distance to the nearest class, in medians of the in images' own")
        axes.set_ylabel("% flagged")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        return svg(figure, "Share flagged by distance from the nearest class")


def _columns(rates: Sequence[Rate]) -> tuple[list[float], list[float], list[float]]:
    return [r.value for r in rates], [r.low for r in rates], [r.high for r in rates]


def _whisker(axes: Axes, rate: Rate, y: float, colour: str, label: str | None) -> None:
    axes.plot([100 * rate.low, 100 * rate.high], [y, y], color=colour, linewidth=2.4, alpha=0.45, solid_capstyle="round")
    axes.plot([100 * rate.value], [y], marker="o", markersize=6, color=colour, linestyle="none", label=label)


def _percent(axes: Axes, label: str, *, most: float = 100.0) -> None:
    axes.set_xlim(0, min(most, 101.5) if most < 100 else 101.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
