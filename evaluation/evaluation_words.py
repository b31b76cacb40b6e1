"""An evaluation in words: one account, of which Markdown and HTML are two prints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from evaluation.evaluation_lines import UNDEFENDED, best
from evaluation.evaluation_paper import beside
from evaluation.evaluation_results import Evaluation, VictimRow
from evaluation.evaluation_tables import best_rows, cell_rows, threshold_rows, times, victim_rows

BEST, DETECTORS = "Best adversary by policy", "Victims and their detectors"
_MARGIN = 0.1  # of TPR over the baseline's; below it a detector may read file format alone
_NOTE = (
    "Every accuracy is balanced over classes. Recovery is the copy's over the unguarded victim's accuracy, net recovery takes "
    "chance from both. Intervals are 95 %, the bootstrap's over test images: another training may differ by more. A copy is "
    "taken as it is after its last epoch."
)
_OTHER_THRESHOLDS = (
    "What other thresholds would flag of the out images, by the share of in images that they flag. They are read off the test "
    "images themselves, so a threshold that is calibrated beforehand reaches a little less."
)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a section: sentences, a list, a table (rows, the first of them its head), or a command."""

    kind: Literal["text", "list", "table", "command"]
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


def headline(evaluation: Evaluation) -> str:
    """Return the run in a sentence for each victim: what is recovered undefended, and behind what holds best."""
    told = []
    strongest = best(evaluation)
    for victim in dict.fromkeys(line.first.victim for line in strongest):
        of_it = [line for line in strongest if line.first.victim == victim]
        open_ = next((line for line in of_it if line.first.policy == UNDEFENDED), None)
        defended = min((line for line in of_it if line is not open_), key=lambda line: line.recovery, default=None)
        parts = [] if open_ is None else [f"undefended the best copier of {victim} recovers {open_.recovery:.2f}x"]
        if defended is not None:
            parts.append(f"{'' if parts else f'of {victim} '}behind {defended.policy} {defended.recovery:.2f}x")
        told.append(f"With {of_it[0].first.budget:,} queries {', '.join(parts)}.")
    if not told:
        told = [_detection(v) for v in evaluation.victims if v.detectors]
    return " ".join(told) or "Nothing was measured."


def account(evaluation: Evaluation) -> list[Section]:
    """Return everything that a report says, in order."""
    sections = []
    if evaluation.failures:
        sections.append(Section("No result", (_list(f"{f.id}: {f.error}" for f in evaluation.failures),)))
    if doubts := list(_cautions(evaluation)):
        sections.append(Section("Take care", (_list(doubts),)))
    if evaluation.cells:
        sections.append(Section(BEST, (_table(best_rows(evaluation)), Block("text", (_NOTE,)))))
    if rows := beside(evaluation):
        head = ("victim", "quantity", "this run", "paper", "where")
        body = _table([head, *((r.victim, r.quantity, r.ours, r.theirs, r.where) for r in rows)])
        sections.append(Section("Beside the paper", (body, _list(evaluation.differs))))
    if evaluation.victims:
        blocks = [_table(victim_rows(evaluation))]
        if any(d.roc for v in evaluation.victims for d in v.measured):
            blocks += [Block("text", (_OTHER_THRESHOLDS,)), _table(threshold_rows(evaluation))]
        sections.append(Section(DETECTORS, tuple(blocks)))
    if evaluation.cells:
        sections.append(Section("Every cell", (_table(cell_rows(evaluation)),)))
    versions = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    told = f"Versions: {versions}. Seeds: {', '.join(str(s) for s in sorted({v.seed for v in evaluation.victims}))}."
    minutes = sum(evaluation.seconds.values()) / 60
    spent = f"The stages of the run that wrote this took {minutes:.1f} minutes; what was finished before is not counted."
    sections.append(Section("Make it again", (Block("command", (evaluation.command,)), Block("text", (told, spent)))))
    return sections


def _list(lines: Iterable[str]) -> Block:
    return Block("list", tuple(lines))


def _table(rows: Iterable[tuple[str, ...]]) -> Block:
    return Block("table", rows=tuple(rows))


def _cautions(evaluation: Evaluation) -> Iterator[str]:
    for v in evaluation.victims:
        for d in v.detectors:
            if v.baseline is not None and d.tpr - v.baseline.tpr < _MARGIN:
                yield (
                    f"{v.name}: {d.name} flags {100 * d.tpr:.0f} % of out images, and statistics that know nothing of content "
                    f"{100 * v.baseline.tpr:.0f} %: most of this detection may be file format."
                )
    for line in best(evaluation):
        c = line.first
        if c.policy == UNDEFENDED and (line.net is None or line.net < 0.5):
            yield (
                f"{c.victim}: undefended, the best attack has a net recovery of {times(line.net)} only, too weak to judge a "
                "defence by."
            )


def _detection(v: VictimRow) -> str:
    first = max(v.detectors, key=lambda d: d.tpr)
    return f"{v.name}: {first.name} flags {100 * first.tpr:.1f} % of out images at {100 * first.fpr:.1f} % of in images."
