"""Lines of an evaluation: cells that differ in their seed alone, put together, and the best of them by policy."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from evaluation.evaluation_results import CellResult, Evaluation, Interval

UNDEFENDED = "observe"


@dataclass(frozen=True, slots=True)
class Line:
    """Cells that differ in their seed alone, at one budget."""

    cells: tuple[CellResult, ...]

    @property
    def first(self) -> CellResult:
        return self.cells[0]

    @property
    def recovery(self) -> float:
        """The mean recovery over seeds."""
        return fmean(c.recovery for c in self.cells)

    @property
    def net(self) -> float | None:
        """The mean net recovery over seeds, None if one of them has none."""
        found = [c.net_recovery for c in self.cells]
        return None if None in found else fmean(n for n in found if n is not None)

    @property
    def recovery_interval(self) -> Interval:
        """The mean interval over seeds: of test images, as each seed met them."""
        lows, highs = zip(*(c.recovery_interval for c in self.cells), strict=True)
        return fmean(lows), fmean(highs)

    @property
    def net_interval(self) -> Interval | None:
        """The mean interval of the net recovery, None if a seed has none."""
        found = [c.net_recovery_interval for c in self.cells if c.net_recovery_interval is not None]
        if len(found) < len(self.cells):
            return None
        lows, highs = zip(*found, strict=True)
        return fmean(lows), fmean(highs)

    @property
    def policy(self) -> str:
        """The policy with the detector that decides for it, where it heeds one, or with the rows that it answers instead."""
        name, _, rows = self.first.policy.partition("@")
        if rows:
            return f"{name}, to {rows}"
        return f"{name} ({self.first.detector})" if self.first.detector is not None and name != UNDEFENDED else name


def lines_of(evaluation: Evaluation) -> list[Line]:
    """Return the cells in the grid's order, seeds put together."""
    groups: dict[tuple[object, ...], list[CellResult]] = {}
    for c in evaluation.cells:
        groups.setdefault((c.victim, c.surrogate, c.detector, c.policy, c.attack, c.adversary, c.budget), []).append(c)
    return [Line(tuple(cells)) for cells in groups.values()]


def best(evaluation: Evaluation) -> list[Line]:
    """Return for each victim and policy the line, at the largest budget, of whoever recovers most."""
    largest = max((c.budget for c in evaluation.cells), default=0)
    found: dict[tuple[str, str], Line] = {}
    for line in lines_of(evaluation):
        place = line.first.victim, line.policy
        if line.first.budget == largest and (place not in found or line.recovery > found[place].recovery):
            found[place] = line
    return list(found.values())


def extremes(evaluation: Evaluation) -> Iterator[tuple[str, Line | None, Line | None]]:
    """Yield each victim with the best adversary's line where nothing defends it, and behind the policy that holds best."""
    by_victim: dict[str, list[Line]] = {}
    for line in best(evaluation):
        by_victim.setdefault(line.first.victim, []).append(line)
    for victim, lines in by_victim.items():
        open_ = next((line for line in lines if line.first.policy == UNDEFENDED), None)
        yield victim, open_, min((line for line in lines if line is not open_), key=lambda line: line.recovery, default=None)
