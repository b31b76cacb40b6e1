"""An evaluation in words: one account, of which Markdown and HTML are two prints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from evaluation.evaluation_lines import UNDEFENDED, Line, best, choice, extremes
from evaluation.evaluation_paper import beside
from evaluation.evaluation_results import Evaluation, VictimRow
from evaluation.evaluation_tables import best_rows, cell_rows, detector_rows, share, threshold_rows, times, victim_rows

FAILED, CARE, AGAIN = "No result", "Take care", "Make it again"
BEST, DETECTORS = "Best adversary by policy", "Victims and their detectors"
_MARGIN = 0.1  # of TPR over the baseline's; below it a detector may read file format alone
_NOTE = (
    "A copier asks the served victim and trains a network of his own on its answers; each row is the attack and the adversary "
    "that recovered most. Every accuracy is balanced over classes. Recovery is the copy's over the unguarded victim's accuracy, "
    "net recovery takes chance from both. Intervals are 95 %, the bootstrap's over test images: another training may differ by "
    "more. A copy is taken as it is after its last epoch."
)
_PAPER = "The paper: Atli et al., Extraction of Complex DNN Models: Real Threat or Boogeyman? What differs:"
_SIDES = (
    "In images are of the victim's own kind, as customers send them; out images are what the attacks ask with. A detector is "
    "worth its margin over low-level statistics, which know sharpness and compression and nothing of content. The pool that is "
    "asked with is an adversary's own: if it has classes of the victim's kinds, they count as out in the TPR, though none of "
    "them fitted a detector where the experiment says so."
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
    for victim, open_, defended in extremes(evaluation):
        parts = [] if open_ is None else [f"{open_.recovery:.2f}x of its accuracy undefended"]
        if defended is not None:
            parts.append(f"{defended.recovery:.2f}x {'' if parts else 'of its accuracy '}behind {defended.policy}")
        budget = max(line.first.n_asked for line in (open_, defended) if line is not None)
        told.append(f"With {budget:,} queries the best copier of {victim} recovers {', and '.join(parts)}.")
    if not told:
        told = [_detection(v) for v in evaluation.victims if v.detectors]
    return " ".join(told) or "Nothing was measured."


def tiles(evaluation: Evaluation) -> Iterator[tuple[str, str, str, str]]:
    """Yield each victim's figures for somebody in a hurry, as `page.tile_row` takes them: what is stolen, what customers bear."""
    for victim, open_, defended in extremes(evaluation):
        if open_ is not None:
            yield "harm", times(open_.recovery), f"of {victim}'s accuracy recovered undefended", _thief(open_)
        if defended is not None:
            unguarded = fmean(evaluation.victim_of(x).accuracy for x in defended.cells)
            yield "safe", times(defended.recovery), f"recovered behind {defended.policy}", _thief(defended)
            served = fmean(x.benign_accuracy for x in defended.cells)
            yield "", f"{served:.3f}", "a customer's accuracy behind it", f"{unguarded:.3f} without a guard"
            flagged, n = defended.customers_flagged
            yield "", share(flagged, n), f"of {n:,} customers' images flagged", ""


def account(evaluation: Evaluation) -> list[Section]:
    """Return everything that a report says, in order."""
    sections = []
    if evaluation.failures:
        sections.append(Section(FAILED, (_list(_failed(evaluation)),)))
    if doubts := list(_cautions(evaluation)):
        sections.append(Section(CARE, (_list(doubts),)))
    if evaluation.cells:
        sections.append(
            Section(
                BEST,
                (
                    _table(best_rows(evaluation)),
                    Block("text", tuple(filter(None, (choice(evaluation), _limited(evaluation), _NOTE)))),
                ),
            )
        )
    if rows := beside(evaluation):
        head = ("victim", "quantity", "this run", "paper", "where")
        body = _table([head, *((r.victim, r.quantity, r.ours, r.theirs, r.where) for r in rows)])
        sections.append(Section("Beside the paper", (body, Block("text", (_PAPER,)), _list(evaluation.differs))))
    if evaluation.victims:
        blocks = [_table(victim_rows(evaluation))]
        if any(v.detectors for v in evaluation.victims):
            blocks += [_table(detector_rows(evaluation)), Block("text", (_SIDES,))]
        if any(d.roc for v in evaluation.victims for d in v.measured):
            blocks += [Block("text", (_OTHER_THRESHOLDS,)), _table(threshold_rows(evaluation))]
        sections.append(Section(DETECTORS, tuple(blocks)))
    if evaluation.cells:
        sections.append(Section("Every cell", (_table(cell_rows(evaluation)),)))
    versions = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    told = f"Versions: {versions}. Seeds: {', '.join(str(s) for s in sorted({v.seed for v in evaluation.victims}))}."
    minutes = sum(evaluation.seconds.values()) / 60
    spent = f"The stages of the run that wrote this took {minutes:.1f} minutes; what was finished before is not counted."
    sections.append(Section(AGAIN, (Block("command", (evaluation.command,)), Block("text", (told, spent)))))
    return sections


def _list(lines: Iterable[str]) -> Block:
    return Block("list", tuple(lines))


def _table(rows: Iterable[tuple[str, ...]]) -> Block:
    return Block("table", rows=tuple(rows))


def _limited(evaluation: Evaluation) -> str:
    """Return what one client may ask, nothing where that was not limited; files of older versions know no limits."""
    match evaluation.settings.get("limits"):
        case {"rows_per_client": int(rows)}:
            return (
                f"A client may ask about {rows:,} images and no more, so a thief with one identity asks so much of his budget, "
                "and one with k identities k times as much."
            )
        case _:
            return ""


def _failed(evaluation: Evaluation) -> Iterator[str]:
    """Yield each error once, after the cells that it took."""
    ids: dict[str, list[str]] = {}
    for failure in evaluation.failures:
        ids.setdefault(failure.error, []).append(failure.id)
    for error, of_it in ids.items():
        yield f"{', '.join(of_it)}: {error}"


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


def _thief(line: Line) -> str:
    return f"by {line.first.attack}, {line.first.adversary}; {line.first.n_asked:,} queries"


def _detection(v: VictimRow) -> str:
    first = max(v.detectors, key=lambda d: d.tpr)
    return f"{v.name}: {first.name} flags {100 * first.tpr:.1f} % of out images at {100 * first.fpr:.1f} % of in images."
