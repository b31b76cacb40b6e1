"""A victim's detectors as ROC curves, with a logarithmic FPR: what a customer bears decides, and he bears little."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TypeAlias

from matplotlib.axes import Axes

from evaluation.evaluation_results import DetectorRow, Evaluation, VictimRow
from evaluation.plot_frame import CUSTOMER, GRID, HARM, INK, MUTED, SAFE, canvas, svg

Dash: TypeAlias = str | tuple[int, tuple[float, float]]

_COLOURS = (SAFE, "#7c5cbf", "#b7791f", CUSTOMER, "#64748b", "#0891b2")
_DASHES: tuple[Dash, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))  # once the colours are used up


def rocs(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield (heading, svg) for each victim with curves; its seeds are lines of one colour."""
    found: dict[str, list[VictimRow]] = {}
    for victim in evaluation.victims:
        if any(d.roc for d in victim.measured):
            found.setdefault(victim.name, []).append(victim)
    for name, seeds in found.items():
        yield f"{name}: what its detectors flag, by threshold", _curves(name, seeds)


def _curves(name: str, seeds: Sequence[VictimRow]) -> str:
    lines: dict[str, list[DetectorRow]] = {}
    for victim in seeds:
        for row in victim.measured:
            if row.roc:
                lines.setdefault(row.name, []).append(row)
    left = 0.5 / max(row.n_in for rows in lines.values() for row in rows)  # left of the least that can be seen there is nothing
    baselines = {victim.baseline.name for victim in seeds if victim.baseline is not None}
    styles = cycle((colour, dash) for dash in _DASHES for colour in _COLOURS)
    with canvas(7.2, 4.2) as (figure, axes):
        for label, rows in lines.items():
            _line(axes, label, rows, (HARM, _DASHES[1]) if label in baselines else next(styles), left)
        axes.plot([], [], "o", color=MUTED, markersize=6, label="its own threshold")
        _chance(axes, left)
        axes.set_xscale("log")
        axes.set_xlim(100 * left, 100)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_ylim(0, 101)
        axes.set_xlabel("in images flagged, of the test (FPR, %, logarithmic)")
        axes.set_ylabel("out images flagged (TPR, %)")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
        return svg(figure, f"{name}: share of out images flagged by share of in images flagged, a line a detector")


def _line(axes: Axes, label: str, rows: Sequence[DetectorRow], style: tuple[str, Dash], left: float) -> None:
    colour, dash = style
    for i, row in enumerate(rows):
        false, true = zip(*((100 * max(f, left), 100 * t) for f, t in row.roc), strict=True)
        name = None if i else f"{label} (AUROC {', '.join('-' if r.auroc is None else f'{r.auroc:.3f}' for r in rows)})"
        # Steps: what lies between two points is reached by no threshold.
        axes.plot(false, true, color=colour, linestyle=dash, linewidth=1.8, drawstyle="steps-post", label=name)
        own = [100 * max(row.fpr, left)], [100 * row.tpr]
        axes.plot(*own, "o", color=colour, markersize=6, clip_on=False, zorder=3)


def _chance(axes: Axes, left: float) -> None:
    """Draw what drawing lots would reach, TPR = FPR, which a logarithmic axis bends."""
    lots = [100 * left ** (1 - step / 60) for step in range(61)]
    axes.plot(lots, lots, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label="chance")
