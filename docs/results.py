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
from evaluation.evaluation_tables import by_seed, share, times
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
test images: another training may differ by more. What the detectors see of content, and what of file format, is on [the page of
detection results](results-detection.md).

`seeds` are three trainings of victim, detector and copy, the first of which is `cifar10`'s and `gtsrb`'s; the rest is one seed
each. In `adversaries` the attack is Knockoff's and the thief makes seven things of the answers; in `attacks` five attacks meet
the thief that their papers gave them, Knockoff one who corrects for noise too, and those that choose by the answers one who
takes labels first. Detectors learned from none of the victim's own kinds of image, and a thief may ask with them. `table6`,
which has no detector, was run a day before the rest.
"""

VERDICT = """\
## What it says

- **Copying works without anything shared.** Copier and victim start from fresh weights, and a few thousand photographs of
  other things teach most of a classifier of ten classes and more than half of one of 43. The paper's victims without the
  copier's weights (table 6: GTSRB-5L 0.59x, CIFAR10-9L 0.73x) lie in the same range, with twelve times the queries.
- **A policy is worth what it leaves to the thief who knows it.** Perturbations that keep the top label (`mad-argmax`,
  `modelguard`) leave 0.06x to 0.22x to thieves who believe the vector, the best of anything measured on CIFAR10. One who
  takes the label first, and lets k-center choose by labels, gets 0.59x behind these two, behind reverse sigmoid and behind
  `label-only`: the same answers, the same copies. No policy that keeps the top label holds better than labels alone. Behind
  every policy that answers at all somebody gets more than half of the victim with 2,000 queries.
- **Table 5 is reproduced on GTSRB and not on CIFAR10**, in each of three trainings. The shuffle is worth what its detector is
  worth. On GTSRB 85 to 90 % of the queries are flagged, nearly all where the victim began with ImageNet's weights, and the
  rest do not make a copy: 0.10x each time. On CIFAR10 three of four pass, and what passes teaches nearly as much as
  everything would (0.84x to 0.87x of 0.89x to 0.93x). Neither pre-trained weights nor the paper's kind of detector changes
  that: a frozen ImageNet network flags 21 % of the queries where the default, which reads the victim's own stages, flags 30
  %, and leaves 0.74x where that leaves 0.78x (GTSRB: 88 % and 98 %, 0.07x and 0.04x).
- **Why not.** The paper's in and out images differ in size, crop and codec as well. `as-they-come` leaves the matched chain
  out, and the paper's table 5 is there: the detector flags 99.7 % of the queries, and the shuffle leaves 0.16x of 0.60x. But
  statistics that know nothing of content flag all of them, and a thief who reduces his images to 32 pixels and JPEG 75, as
  CIFAR10's were, is flagged in 19 % and recovers 0.74x. What was detected was file format.
- **Below chance.** The paper's defended CIFAR10 copy is right in 2.9 % of ten classes, which is worse than guessing; ours
  stay above chance, since some queries always pass.
- **Table 7 is reproduced on both** but for CIFAR10's pre-trained victim, and on GTSRB more clearly than in the paper, where
  labels alone hardly cost a thief anything: of 43 classes some thousand labels say too little.
- **Table 6 is reproduced for a copier with ImageNet's weights** and turned round for one without: each copier does best on
  the victim that began as it did (CIFAR10 0.78x and 0.46x, 0.66x and 0.69x). **Table 2** is the undefended row of each run.
- **What a thief makes of answers**, on both sets with Knockoff's queries: believing them is best, or within .02x of asking
  with the victim's own codec and resolution. Correcting for noise and dropping suspicious answers pay nowhere, averaging
  spends five queries on one answer. Several identities change nothing where nobody counts.
- **Where somebody counts** (`quota`, 500 rows a client and no detector) an identity is what a thief buys queries with: one
  recovers 0.43x, two 0.53x, four 0.63x. A quota is worth what another identity costs.
- **Attacks.** The two that choose by the answers do better than chance: behind the shuffle and behind labels k-center,
  undefended adaptive Knockoff, by .01x to .06x. JBDA, which makes its own queries from a few images of the victim's kind, is
  behind.
- **What customers pay:** two points of accuracy behind the shuffle and behind adaptive misinformation, none in the top label
  elsewhere.
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
_AXES = ("attack", "what the thief makes of the answers")
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
                    times(line.recovery, line.recovery_interval) + by_seed(line), times(line.net, line.net_interval),
                    share(*line.flagged), share(*line.customers_flagged),
                )
            )  # fmt: skip
    return head, rows


def matrix(named: Mapping[str, Evaluation]) -> Iterator[str]:
    """Yield policies by thieves for each run and victim with several: recovery of all test images at the largest budget."""
    for name, evaluation in named.items():
        largest = max((c.budget for c in evaluation.cells), default=0)
        thieves = list(dict.fromkeys((c.attack, c.adversary) for c in evaluation.cells))
        if len(thieves) < 2:
            continue
        several = [len({thief[axis] for thief in thieves}) > 1 for axis in (0, 1)]
        heads = [", ".join(word for word, shown in zip(thief, several, strict=True) if shown) for thief in thieves]
        for victim in dict.fromkeys(c.victim for c in evaluation.cells):
            lines = [line for line in lines_of(evaluation) if (line.first.victim, line.first.budget) == (victim, largest)]
            found = {(line.policy, line.first.attack, line.first.adversary): line for line in lines}
            rows = []
            for policy in dict.fromkeys(line.policy for line in lines):
                cells = [found.get((policy, *thief)) for thief in thieves]
                rows.append((policy, *(times(line.recovery, line.recovery_interval) if line else "-" for line in cells)))
            yield f"## Policies by thieves: `{name}`, {victim}\n"
            yield f"Recovery with {largest:,} queries, by {' and '.join(w for w, s in zip(_AXES, several, strict=True) if s)}.\n"
            yield from grid(("policy", *heads), rows)


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
