"""An evaluation's plots, as SVG: harm against utility, recovery by budget and by what passed, figure 1's answers by class."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, product
from statistics import fmean

from evaluation.evaluation_lines import UNDEFENDED, Line, best, extremes, lines_of
from evaluation.evaluation_results import Evaluation
from evaluation.figure1 import figure1
from evaluation.plot_frame import GRID, HARM, SAFE, canvas, svg

_COLOURS = (SAFE, "#7c5cbf", "#b7791f", "#3b6fb6", "#64748b", "#0891b2")
_MARKERS = "os^D"  # once the colours are used up


def plots(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return (heading, svg) of each plot that the run has figures for."""
    made = [("Harm against utility", _frontier(evaluation)), ("What more queries buy", _budgets(evaluation))]
    return [(heading, drawn) for heading, drawn in made if drawn is not None] + [*_passed(evaluation), *_figure1(evaluation)]


def _frontier(evaluation: Evaluation) -> str | None:
    """A point for each policy: down is less for the thief, right is more for customers."""
    strongest = best(evaluation)
    if len(strongest) < 2:
        return None
    one = len({line.first.victim for line in strongest}) == 1
    with canvas(7.2, 3.8) as (figure, axes):
        for line, (marker, colour) in zip(strongest, _marks(strongest), strict=True):
            utility = fmean(c.benign_accuracy for c in line.cells)
            name = line.policy if one else f"{line.first.victim}: {line.policy}"
            axes.plot(utility, line.recovery, marker, color=colour, markersize=8, alpha=0.8, clip_on=False, label=name)
        axes.set_xlabel("a customer's accuracy through the guard")
        axes.set_ylabel("recovery of the best adversary")
        axes.margins(x=0.1)
        axes.set_ylim(0, 1.1 * max(line.recovery for line in strongest) or 1)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return svg(figure, "Recovery of the best adversary against a customer's accuracy, by policy")


def _budgets(evaluation: Evaluation) -> str | None:
    """A curve for each policy, of whoever recovers most with the largest budget."""
    shown = {_thief(line) for line in best(evaluation)}
    curves: dict[str, list[Line]] = {}
    for line in lines_of(evaluation):
        if _thief(line) in shown:
            curves.setdefault(f"{line.first.victim}: {line.policy}", []).append(line)
    curves = {name: lines for name, lines in curves.items() if len(lines) > 1}
    one = len({lines[0].first.victim for lines in curves.values()}) == 1
    if not curves:
        return None
    with canvas(7.2, 3.4) as (figure, axes):
        marks = _marks(lines[0] for lines in curves.values())
        for (name, lines), (marker, colour) in zip(curves.items(), marks, strict=True):
            axes.plot(
                [x.first.n_asked for x in lines],
                [x.recovery for x in lines],
                marker=marker,
                color=colour,
                label=lines[0].policy if one else name,
            )
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("queries")
        axes.set_ylabel("recovery")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return svg(figure, "Recovery by number of queries")


def _marks(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """Yield a marker and a colour for each line's policy, the undefended one's of its own."""
    for line, (marker, colour) in zip(lines, cycle(product(_MARKERS, _COLOURS)), strict=False):
        yield marker, HARM if line.first.policy == UNDEFENDED else colour


def _thief(line: Line) -> tuple[str, ...]:
    """Return what tells a line from others at the same budget."""
    c = line.first
    return c.victim, line.policy, c.surrogate, c.attack, c.adversary


def _passed(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield for each victim (heading, svg) of recovery by how many queries were answered unharmed, a point a line.

    Undefended all of them are, so those points say what as many harmless answers teach. Policies on all rows have no point.
    """
    victims: dict[str, dict[str, list[Line]]] = {}
    for line in lines_of(evaluation):
        if line.unharmed is not None:
            victims.setdefault(line.first.victim, {}).setdefault(line.policy, []).append(line)
    for name, policies in victims.items():
        if policies.keys() - {UNDEFENDED}:
            yield f"{name}: recovery by what passed", _points(policies)


def _points(policies: Mapping[str, Sequence[Line]]) -> str:
    with canvas(7.2, 3.4) as (figure, axes):
        marks = _marks(lines[0] for lines in policies.values())
        for (name, lines), (marker, colour) in zip(policies.items(), marks, strict=True):
            passed = [line.unharmed or 0.0 for line in lines]
            axes.plot(passed, [line.recovery for line in lines], marker, color=colour, alpha=0.8, clip_on=False, label=name)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("queries answered unharmed: the budget less TPR × budget, the flagged ones")
        axes.set_ylabel("recovery")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return svg(figure, "Recovery by number of queries answered unharmed, by policy")


def _figure1(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield for each victim (heading, svg) of the undefended run: its copy, and the copy behind what holds best."""
    for name, open_, defended in extremes(evaluation):
        if open_ is None or not open_.first.n_answered:
            continue
        copies = {"copy, undefended": open_.first.recalls}
        if defended is not None:
            copies[f"copy behind {defended.policy}"] = defended.first.recalls
        victim = evaluation.victim_of(open_.first)
        drawn = figure1(open_.first.answers, victim.recalls, copies, victim.classes)
        yield f"{name}: answers by class, and accuracies there", drawn
