"""The tables of an evaluation, as rows of text whose first is the head, and the one that the terminal shows."""

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING

from evaluation.evaluation_lines import Line, best, lines_of
from evaluation.evaluation_results import DetectorRow, Evaluation, Interval
from evaluation.roc import LEVELS, tpr_at

if TYPE_CHECKING:
    from rich.table import Table


def best_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield each policy's best adversary at the largest budget."""
    yield (
        "victim",
        "policy",
        "best attack",
        "adversary",
        "recovery",
        "net",
        "fidelity",
        "flagged",
        "customer's accuracy",
        "customers flagged",
    )
    for line in best(evaluation):
        c = line.first
        yield (
            c.victim,
            line.policy,
            c.attack,
            c.adversary,
            times(line.recovery, line.recovery_interval) + by_seed(line),
            times(line.net, line.net_interval),
            f"{line.fidelity:.2f}",
            share(*line.flagged),
            f"{fmean(x.benign_accuracy for x in line.cells):.3f}",
            share(*line.customers_flagged),
        )


def victim_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield each victim of each seed, unguarded, and what was done to its images."""
    yield ("victim", "accuracy", "trained on", "images")
    for v in evaluation.victims:
        own = f"{v.accuracy:.3f} ({v.accuracy_interval[0]:.3f} to {v.accuracy_interval[1]:.3f}; n = {v.n_test:,})"
        yield (f"{v.name}, seed {v.seed}", own, f"{v.n_train:,}", v.images)


def detector_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield each victim's detectors, and the baseline below them."""
    yield ("victim", "detector", "out flagged (TPR)", "in flagged (FPR)", "AUROC")
    for v in evaluation.victims:
        for d in v.measured:
            yield (f"{v.name}, seed {v.seed}", d.name, *_rates(d))


def _rates(d: DetectorRow) -> tuple[str, str, str]:
    return (
        f"{100 * d.tpr:.1f} % ({100 * d.tpr_interval[0]:.1f} to {100 * d.tpr_interval[1]:.1f}; n = {d.n_out:,})",
        f"{100 * d.fpr:.1f} % ({100 * d.fpr_interval[0]:.1f} to {100 * d.fpr_interval[1]:.1f}; n = {d.n_in:,})",
        "-" if d.auroc is None else f"{d.auroc:.3f}",
    )


def threshold_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield what each detector and the baseline reach at a few false-positive rates, where a curve was kept."""
    yield ("victim", "detector", *(f"TPR at FPR {100 * level:g} %" for level in LEVELS))
    for v in evaluation.victims:
        for d in v.measured:
            reached = [tpr_at(d.roc, level, n_in=d.n_in) for level in LEVELS]
            if d.roc:
                yield (f"{v.name}, seed {v.seed}", d.name, *("-" if tpr is None else f"{100 * tpr:.1f} %" for tpr in reached))


def cell_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield every cell, seeds put together."""
    yield (
        "victim",
        "copier",
        "policy",
        "attack",
        "adversary",
        "queries",
        "recovery",
        "net",
        "fidelity",
        "flagged",
        "answers, largest class",
    )
    for line in lines_of(evaluation):
        c = line.first
        yield (
            c.victim,
            c.surrogate,
            line.policy,
            c.attack,
            c.adversary,
            f"{c.n_asked:,}",
            f"{line.recovery:.2f}x",
            times(line.net),
            f"{line.fidelity:.2f}",
            share(*line.flagged),
            share(max(c.answers, default=0), c.n_answered),
        )


def table(evaluation: Evaluation) -> "Table":
    """Return the terminal's table: the best adversary by policy, or what detectors do where nothing was stolen."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=evaluation.title, box=SIMPLE_HEAD, pad_edge=False)
    head, *rows = list(_short_rows(evaluation) if evaluation.cells else _short_detector_rows(evaluation))
    for column in head:
        words = column in {"victim", "policy", "best thief", "detector"}
        shown.add_column(column, justify="left" if words else "right", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))  # a name is never read as markup
    return shown


def _short_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """Yield what fits 80 columns: an interval below its figure, and no victim where there is but one."""
    first = int(len({line.first.victim for line in best(evaluation)}) == 1)
    yield ("victim", "policy", "best thief", "recovery", "net", "flagged", "false +")[first:]
    for line in best(evaluation):
        c = line.first
        yield (
            c.victim,
            line.policy,
            f"{c.attack},\n{c.adversary}",
            _narrow(line.recovery, line.recovery_interval),
            _narrow(line.net, line.net_interval),
            share(*line.flagged),
            share(*line.customers_flagged),
        )[first:]


def _narrow(value: float | None, interval: Interval | None) -> str:
    return times(value) if interval is None else f"{times(value)}\n{interval[0]:.2f}-{interval[1]:.2f}"


def _short_detector_rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    yield ("victim", "detector", "TPR", "FPR", "AUROC")
    for v in evaluation.victims:
        for d in v.measured:
            yield (v.name, d.name, f"{d.tpr:.3f}", f"{d.fpr:.3f}", "-" if d.auroc is None else f"{d.auroc:.3f}")


def times(value: float | None, interval: Interval | None = None) -> str:
    """Return a recovery as it is printed everywhere, with its interval where there is one, or a dash."""
    if value is None:
        return "-"
    return f"{value:.2f}x" if interval is None else f"{value:.2f}x ({interval[0]:.2f} to {interval[1]:.2f})"


def by_seed(line: Line) -> str:
    """Return each seed's own recovery, where there are several."""
    return f"; seeds: {', '.join(times(r) for r in line.recoveries)}" if len(line.cells) > 1 else ""


def share(part: int | None, whole: int) -> str:
    """Return a count as a share of another, or a dash."""
    return "-" if part is None or not whole else f"{100 * part / whole:.1f} %"
