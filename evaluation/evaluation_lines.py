"""Lines of an evaluation: cells that differ in their seed alone, put together, and the best of them by policy."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from evaluation.evaluation_results import CellResult, Evaluation, Interval, Measures
from guard.types import ApplyTo

UNDEFENDED = "observe"


@dataclass(frozen=True, slots=True)
class Line:
    """Cells that differ in their seed alone, at one budget; `chosen` by one half of the test images, or beside one that is.

    Such a line is told of the other half, and any other of all test images.
    """

    cells: tuple[CellResult, ...]
    chosen: bool = False

    @property
    def first(self) -> CellResult:
        return self.cells[0]

    @property
    def recovery(self) -> float:
        """The mean recovery over seeds."""
        return fmean(self.recoveries)

    @property
    def recoveries(self) -> tuple[float, ...]:
        """The recovery of each seed."""
        return tuple(m.recovery for m in self._measures)

    @property
    def fidelity(self) -> float:
        """The mean fidelity over seeds."""
        return fmean(m.fidelity for m in self._measures)

    @property
    def net(self) -> float | None:
        """The mean net recovery over seeds, None if one of them has none."""
        found = [m.net_recovery for m in self._measures]
        return None if None in found else fmean(n for n in found if n is not None)

    @property
    def recovery_interval(self) -> Interval:
        """The mean interval over seeds: of test images, as each seed met them."""
        lows, highs = zip(*(m.recovery_interval for m in self._measures), strict=True)
        return fmean(lows), fmean(highs)

    @property
    def net_interval(self) -> Interval | None:
        """The mean interval of the net recovery, None if a seed has none."""
        found = [m.net_recovery_interval for m in self._measures if m.net_recovery_interval is not None]
        if len(found) < len(self.cells):
            return None
        lows, highs = zip(*found, strict=True)
        return fmean(lows), fmean(highs)

    @property
    def flagged(self) -> tuple[int | None, int]:
        """How many queries of all seeds were flagged, None where nothing looked, and of how many."""
        return _total(c.n_flagged for c in self.cells), sum(c.n_asked for c in self.cells)

    @property
    def unharmed(self) -> float | None:
        """How many queries of a seed came back as the victim answered them: (1 - TPR on the queries) x budget.

        All of them where nobody's answers are changed; None where flags are unknown, or a policy on all rows leaves none.
        """
        flagged, n = self.flagged
        name, _, rows = self.first.policy.partition("@")
        if name == UNDEFENDED or rows == ApplyTo.NOBODY:
            flagged = 0
        return None if flagged is None or rows == ApplyTo.ALL else (n - flagged) / len(self.cells)

    @property
    def customers_flagged(self) -> tuple[int | None, int]:
        """The same of customers' images."""
        return _total(c.benign_flagged for c in self.cells), sum(c.benign_n for c in self.cells)

    @property
    def policy(self) -> str:
        """The policy with the detector that decides for it, where it heeds one, or with the rows that it answers instead."""
        name, _, rows = self.first.policy.partition("@")
        if rows:
            return f"{name}, to {rows}"
        return f"{name} ({self.first.detector})" if self.first.detector is not None and name != UNDEFENDED else name

    @property
    def chosen_by(self) -> float | None:
        """The mean recovery on the half of the test images that chooses, None if a file has none."""
        found = [c.chosen_by for c in self.cells if c.chosen_by is not None and c.told is not None]
        return fmean(found) if len(found) == len(self.cells) else None

    @property
    def _measures(self) -> tuple[Measures, ...]:
        return tuple(c.told if self.chosen and c.told is not None else c for c in self.cells)


def _total(counts: Iterable[int | None]) -> int | None:
    found = list(counts)
    return None if None in found else sum(n for n in found if n is not None)


def lines_of(evaluation: Evaluation) -> list[Line]:
    """Return the cells in the grid's order, seeds put together."""
    groups: dict[tuple[object, ...], list[CellResult]] = {}
    for c in evaluation.cells:
        groups.setdefault((c.victim, c.surrogate, c.detector, c.policy, c.attack, c.adversary, c.budget), []).append(c)
    return [Line(tuple(cells)) for cells in groups.values()]


def best(evaluation: Evaluation) -> list[Line]:
    """Return for each victim and policy the line, at the largest budget, of whoever recovers most."""
    candidates = _candidates(evaluation)
    # All or none: lines that stand beside each other are of the same test images.
    halved = _among(candidates) > 1 and all(line.chosen_by is not None for lines in candidates for line in lines)
    return [_strongest(lines, halved=halved) for lines in candidates]


def choice(evaluation: Evaluation) -> str:
    """Return what is to be known of how the best were chosen, nothing where there was no choice."""
    candidates = _candidates(evaluation)
    if (n := _among(candidates)) < 2:
        return ""
    what = "best" if max(map(len, candidates)) > 1 else "policy that holds best"
    if all(line.chosen for line in best(evaluation)):
        return (
            f"The {what} is chosen among up to {n} by one half of the test images; all recoveries, fidelity and intervals here "
            "are of the other half, so that the choice does not flatter it."
        )
    return (
        f"The {what} was chosen among up to {n} on the very test images that its figures are of: some of its lead is luck, and "
        "its interval does not count the choice."
    )


def _among(candidates: list[list[Line]]) -> int:
    """Return among how many something is chosen at most: adversaries of a policy, or policies that defend a victim."""
    defended = Counter(lines[0].first.victim for lines in candidates if lines[0].first.policy != UNDEFENDED)
    return max((*map(len, candidates), *defended.values()), default=0)


def _candidates(evaluation: Evaluation) -> list[list[Line]]:
    largest = max((c.budget for c in evaluation.cells), default=0)
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines_of(evaluation):
        if line.first.budget == largest:
            found.setdefault((line.first.victim, line.policy), []).append(line)
    return list(found.values())


def extremes(evaluation: Evaluation) -> Iterator[tuple[str, Line | None, Line | None]]:
    """Yield each victim with the best adversary's line where nothing defends it, and behind the policy that holds best."""
    by_victim: dict[str, list[Line]] = {}
    for line in best(evaluation):
        by_victim.setdefault(line.first.victim, []).append(line)
    for victim, lines in by_victim.items():
        open_ = next((line for line in lines if line.first.policy == UNDEFENDED), None)
        yield victim, open_, min((line for line in lines if line is not open_), key=_by, default=None)


def _strongest(lines: list[Line], *, halved: bool) -> Line:
    return max((replace(line, chosen=halved) for line in lines), key=_by)


def _by(line: Line) -> float:
    """Return the recovery that chooses, never on the half that tells."""
    return line.recovery if not line.chosen or line.chosen_by is None else line.chosen_by
