"""The paper's figures beside ours, for the quantities that both have.

Atli, Szyller, Juuti, Marchal, Asokan: "Extraction of Complex DNN Models: Real Threat or Boogeyman?", victim CIFAR10-RN34.
Table 7 has an undefended figure of its own, lower than table 2's, and the paper does not say why: cells are never paired
across tables.
"""

from dataclasses import dataclass

from evaluation.report_text import ratio, share
from evaluation.results import UNDEFENDED, Results


@dataclass(frozen=True, slots=True)
class Beside:
    """One quantity: the paper's figure with its table, and ours."""

    quantity: str
    source: str
    theirs: str
    ours: str


DIFFERENCES = (
    "Victim: there a ResNet-34 with ImageNet weights, fine-tuned on CIFAR10 at 224 px; here {architecture}, {n_classes} classes, "
    "{accuracy:.2f} balanced accuracy.",
    "Copier: there 100,000 ImageNet images, a ResNet-34 from the same pre-trained weights, 100 epochs; here {queries:,} queries.",
    "Detector: there a ResNet-101 of its own with a logistic regression; here {detector}, on what the victim computes anyway.",
    "Chance: the paper's 0.03x defended is 2.9 % accuracy in ten classes, below the 10 % of guessing; "
    "here a copy that learned nothing stands at {floor:.2f}x.",
    "Accuracy: there plain, on balanced test sets; here balanced.",
)


def beside(results: Results) -> list[Beside]:
    """Return the rows for which this run has a counterpart."""
    ours = {p.policy: ratio(p.recovery) for p in results.policies}
    detector = results.detector
    rows = []
    if detector is not None:
        rows.append(Beside("out queries flagged (TPR)", "table 4, ImageNet", "96 %", share(detector.tpr)))
        rows.append(Beside("in queries let through (TNR)", "table 4, ImageNet", "96 %", share(1 - detector.fpr)))
    if UNDEFENDED in ours:
        rows.append(Beside("recovery, undefended", "tables 2 and 5", "0.93x", ours[UNDEFENDED]))
    if "shuffle" in ours:
        rows.append(Beside("recovery, flagged answers shuffled", "table 5", "0.03x", ours["shuffle"]))
    if "label-only" in ours:
        rows.append(Beside("recovery, label only, to all", "table 7 (its own undefended: 0.75x)", "0.57x", ours["label-only"]))
    return rows


def differences(results: Results) -> list[str]:
    """Return what is not the same there and here, in sentences."""
    words: dict[str, object] = {
        "architecture": results.victim.architecture,
        "n_classes": round(1 / results.victim.chance) if results.victim.chance else 0,
        "accuracy": results.victim.accuracy,
        "queries": max(p.queries for p in results.policies),
        "detector": results.detector.name if results.detector else "whatever the endpoint has",
        "floor": results.victim.chance / results.victim.accuracy if results.victim.accuracy else 0.0,
    }
    told = [line.format_map(words) for line in DIFFERENCES]
    if any(p.policy == "label-only" and p.apply_to != "all" for p in results.policies):
        told.append("Label only: there every answer is reduced to its label; here only the flagged ones.")
    return told
