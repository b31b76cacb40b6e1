"""An evaluation's figures beside the paper's, for the cells that both have, and never across tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from evaluation.evaluation_lines import Line, lines_of
from evaluation.evaluation_results import Evaluation, VictimRow
from evaluation.paper_figures import TABLES, figure

# What the paper calls the victims of a set; the second is the one without the copier's pre-trained weights, where a table has it.
VICTIMS = {
    "cifar10": ("CIFAR10-RN34", "CIFAR10-9L"),
    "gtsrb": ("GTSRB-RN34", "GTSRB-5L"),
    "caltech101": ("Caltech-RN34",),
    "caltech256": ("Caltech-RN34",),
    "cubs200": ("CUBS-RN34",),
    "diabetic5": ("Diabetic5-RN34",),
}
_FOREIGN, _OWN_KIND = "section5.3", "section5.4"  # whose figures are of all victims together
UNDEFENDED, LABEL_ONLY, SHUFFLE = "observe", "label-only@all", "shuffle"
_RECOVERIES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "table2": (("recovery", "recovery, undefended", UNDEFENDED),),
    "table5": (
        ("recovery_undefended", "recovery, undefended", UNDEFENDED),
        ("recovery_defended", "recovery, flagged answers shuffled", SHUFFLE),
    ),
    "table6": (
        ("recovery_rn34", "recovery, copier of the first architecture", UNDEFENDED),
        ("recovery_vgg16", "recovery, copier of the second architecture", UNDEFENDED),
    ),
    "table7": (
        ("recovery_full_vector", "recovery, full vectors", UNDEFENDED),
        ("recovery_label_only", "recovery, labels alone", LABEL_ONLY),
    ),
}


@dataclass(frozen=True, slots=True)
class Beside:
    """One cell of the paper with ours: who, what, both figures as they are printed, and where the paper has it."""

    victim: str
    quantity: str
    ours: str
    theirs: str
    where: str


def beside(evaluation: Evaluation) -> list[Beside]:
    """Return a row for each cell of the tables that the experiment names, with a dash where ours is missing."""
    rows = []
    for table in evaluation.figures:
        if table == _FOREIGN:
            rows += list(_range(evaluation, table))
        for victim in _once(evaluation.victims):
            if table == _OWN_KIND:
                rows += list(_own_kind(evaluation, victim, table))
            if (row := _row(victim, table)) is not None:
                rows += list(_accuracies(evaluation, victim, table, row))
    return rows


def _accuracies(evaluation: Evaluation, victim: VictimRow, table: str, row: str) -> Iterator[Beside]:
    where = f"{_where(table)}, {row}"
    accuracy = figure(table, row, "victim")
    if accuracy is not None:
        ours = fmean(v.accuracy for v in evaluation.victims if v.name == victim.name)
        yield Beside(victim.name, "victim's accuracy", f"{100 * ours:.1f} %", f"{accuracy:g} %", where)
    surrogates = list(dict.fromkeys(c.surrogate for c in evaluation.cells))
    for column, quantity, policy in _RECOVERIES.get(table, ()):
        theirs = figure(table, row, column)
        copier = surrogates[int(column.endswith("vgg16")) :][:1]
        if theirs is None:
            continue
        lines = plain_lines(evaluation, victim.name, policy, copier[0]) if copier else []
        for line in lines:
            told = quantity if len(lines) == 1 else f"{quantity}, {line.policy}"
            yield Beside(victim.name, told, f"{line.recovery:.2f}x", f"{theirs:.2f}x", where)
        if not lines:
            yield Beside(victim.name, quantity, "-", f"{theirs:.2f}x", where)
    if table == "table4-imagenet" and victim.detectors:  # the second pool's rates, which table4-openimages prints, are a study's
        first = victim.detectors[0]
        for name, ours_rate, theirs in (
            ("out flagged (TPR)", first.tpr, figure(table, row, "tpr")),
            ("in let through (TNR)", 1 - first.fpr, figure(table, row, "tnr")),
        ):
            yield Beside(victim.name, f"{name}, {first.name}", f"{100 * ours_rate:.1f} %", f"{theirs:g} %", where)


def _range(evaluation: Evaluation, table: str) -> Iterator[Beside]:
    """Yield the lowest and the highest accuracy of a copy over victims, undefended, at the largest budget."""
    names = [v.name for v in _once(evaluation.victims)]
    copiers = dict.fromkeys(c.surrogate for c in evaluation.cells)
    lines = [line for name in names for copier in copiers for line in plain_lines(evaluation, name, UNDEFENDED, copier)]
    found = {fmean(c.surrogate_accuracy for c in line.cells): line.first.victim for line in lines}
    for which, choose in (("lowest", min), ("highest", max)):
        victim = found[choose(found)] if found else "-"
        ours = f"{100 * choose(found):.1f} %" if found else "-"
        theirs = figure(table, "all", f"surrogate_{which}")
        yield Beside(victim, f"copy's accuracy, {which} over victims", ours, f"{theirs:g} %", f"{_where(table)}, all victims")


def _own_kind(evaluation: Evaluation, victim: VictimRow, table: str) -> Iterator[Beside]:
    """Yield what the first detector lets through of customers' images and of a thief's who asks with the same kind."""
    if not victim.detectors:
        return
    first, where = victim.detectors[0], f"{_where(table)}, all victims"
    yield Beside(
        victim.name,
        f"in let through (TNR), {first.name}",
        f"{100 * (1 - first.fpr):.1f} %",
        f"{figure(table, 'all', 'tnr'):g} %",
        where,
    )
    asked = [c for c in evaluation.cells if (c.victim, c.attack, c.policy) == (victim.name, "in-distribution", UNDEFENDED)]
    flagged = [c.n_flagged / c.n_asked for c in asked if c.n_flagged is not None and c.n_asked]
    if flagged:
        ours = f"{100 * (1 - fmean(flagged)):.1f} %"
        yield Beside(victim.name, f"in-distribution queries let through, {first.name}", ours, "-", where)


def plain_lines(evaluation: Evaluation, victim: str, policy: str, surrogate: str) -> list[Line]:
    """Return the plain Knockoff with soft labels at the largest budget, all seeds: a line a detector, in the file's order."""
    largest = max((c.budget for c in evaluation.cells), default=0)
    wanted = (victim, policy, surrogate, "knockoff", "soft", largest)
    firsts = ((line.first, line) for line in lines_of(evaluation))
    return [line for c, line in firsts if (c.victim, c.policy, c.surrogate, c.attack, c.adversary, c.budget) == wanted]


def _row(victim: VictimRow, table: str) -> str | None:
    """Return the paper's row for a victim of ours: its own name, else its set's; the second where no weights were given."""
    rows = TABLES.get(table, {})
    if victim.name in rows:
        return victim.name
    names = [name for name in VICTIMS.get(victim.set, ()) if name in rows]
    if not names:
        return None
    return names[-1] if victim.weights == "none" and len(names) > 1 else names[0]


def _where(table: str) -> str:
    return table.replace("table", "table ").replace("section", "section ")


def _once(victims: tuple[VictimRow, ...]) -> list[VictimRow]:
    return list({v.name: v for v in reversed(victims)}.values())[::-1]
