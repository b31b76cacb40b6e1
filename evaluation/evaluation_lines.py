"""Lines of an evaluation: cells that differ in their seed alone, put together, and the best of them by policy."""

from dataclasses import dataclass
from statistics import fmean

from evaluation.evaluation_results import CellResult, Evaluation

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
    def policy(self) -> str:
        """The policy with the detector that decides for it, where it heeds one."""
        heeds = self.first.detector is not None and "@" not in self.first.policy and self.first.policy != UNDEFENDED
        return f"{self.first.policy} ({self.first.detector})" if heeds else self.first.policy


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
