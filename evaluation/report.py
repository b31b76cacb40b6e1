"""report.html: one page that says what a run found, opens without a network and can be passed on.

Everything stands in the one file: style, plots (SVG), images (PNG). Whatever comes from outside is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from evaluation.artefacts import Artefacts, Example
from evaluation.page import caution, document, items, note, plot, section, strip, table, tile_row
from evaluation.report_paper import beside, differences
from evaluation.report_plots import budget_plot, class_plot, recovery_plot, score_plot
from evaluation.report_table import COLUMNS, DETECTOR_COLUMNS, detector_rows, policy_rows
from evaluation.report_text import cautions, certainty, count, findings, headline, ratio, share_of
from evaluation.report_tradeoffs import frontier_plot, roc_plot
from evaluation.results import UNDEFENDED, DetectorResult, Results
from guard.whole import write_whole

REPORT = "report.html"
_EXAMPLES_A_GROUP = 12


def write_report(results: Results, artefacts: Artefacts | None, path: Path) -> None:
    """Write the page, whole or not at all; without artefacts it has neither histogram nor example images."""
    write_whole(path, page(results, artefacts).encode())


def page(results: Results, artefacts: Artefacts | None) -> str:
    """Return the page as HTML text."""
    budget, traded, doubts = budget_plot(results), frontier_plot(results), cautions(results)
    curve, classes = roc_plot(artefacts) if artefacts else None, class_plot(results)
    sections = [
        caution(doubts),
        section("Recovery by policy", plot(recovery_plot(results)) + _policies(results)),
        section("What it means", items(findings(results))),
        section("Harm against utility", plot(traded) + note(_TRADED)) if traded else "",
        section(
            "Who is flagged",
            (plot(score_plot(artefacts)) if artefacts else "")
            + (plot(curve) if curve else "")
            + _detectors(results.detector, results),
        )
        if results.detector
        else "",
        section("What the copier buys with more queries", plot(budget)) if budget else "",
        section("Answers by class, and accuracies there", plot(classes)) if classes else "",
        section("Flagged and passed", _examples(artefacts.examples)) if artefacts and artefacts.examples else "",
        section("Beside the paper", _beside(results)),
        section("What this does not show", items(LIMITS)),
        section("Make it again", _reproduce(results)),
    ]
    created = results.created[:16].replace("T", " ")
    return document(
        title=headline(results), kicker=f"knockguard report · {created} UTC", tiles=_tiles(results), sections=sections
    )


_TRADED = "The line joins the policies that no other beats on both sides; the dashed one is a copy that learned nothing."
LIMITS = (
    "A copier who has the victim's own kind of image looks like a customer to any detector of single queries, and is answered.",
    "One client was one copier. Spread over many clients, per-client evidence sees less of each; the figures here use none.",
    "A policy that is keyed by image answers a near-duplicate afresh: who sends slight variants of one image can average.",
    "Another pool, another budget or a copier who cleans the answers gives other figures. Measure with your own images.",
)


def _tiles(results: Results) -> str:
    """The three or four figures that somebody in a hurry wants."""
    open_, defended, victim = results.undefended, results.strongest, results.victim
    tiles = []
    if open_ is not None:
        tiles.append(("harm", ratio(open_.recovery), "recovered undefended", f"{count(open_.queries)} queries"))
    if defended is not None:
        known = defended.flagged is not None
        flagged = f"{share_of(defended.flagged or 0, defended.queries)} queries flagged" if known else ""
        tiles.append(("safe", ratio(defended.recovery), f"recovered behind {defended.policy}", flagged))
    shown = defended or results.policies[0]
    if shown.benign_accuracy is not None:
        tiles.append(("", f"{shown.benign_accuracy:.3f}", "customers' accuracy", f"{victim.accuracy:.3f} without a guard"))
    if shown.benign_n:
        flagged_share = f"{100 * shown.benign_flagged / shown.benign_n:.1f} %"
        target = f"target at most {100 * results.detector.target_fpr:g} %" if results.detector else ""
        tiles.append(("", flagged_share, f"of {count(shown.benign_n)} customers' queries flagged", target))
    return tile_row(tiles)


def _policies(results: Results) -> str:
    highlight = [p.policy == UNDEFENDED for p in results.policies]
    text = (
        f"Victim {results.victim.accuracy:.3f} balanced accuracy on {count(results.victim.n_test)} test images, "
        f"chance {results.victim.chance:.3f}. Every accuracy is balanced: the mean over classes. Net recovery takes chance from "
        "both; fidelity is agreement with the undefended victim. Each policy met a client of its own. "
        f"{certainty(results)}"
    )
    return table(COLUMNS, policy_rows(results), harm=highlight) + note(text)


def _detectors(detector: DetectorResult, results: Results) -> str:
    calibrated = f" from {count(detector.n_calibration)} calibration images" if detector.n_calibration is not None else ""
    text = (
        f"Thresholds{calibrated} for a false-positive rate of at most {100 * detector.target_fpr:g} %. The last row knows "
        "sharpness, noise and compression and nothing of content: a detector is worth its margin over it."
    )
    return table(DETECTOR_COLUMNS, detector_rows(results)) + note(text)


def _examples(examples: Sequence[Example]) -> str:
    groups = (
        ("Copier's queries that were flagged", True, True),
        ("Copier's queries that passed", True, False),
        ("Customers' queries that passed", False, False),
        ("Customers' queries that were flagged", False, True),
    )
    return "".join(
        strip(
            title, [e for e in examples if (e.attack, e.flagged) == (attack, flagged)][:_EXAMPLES_A_GROUP], good=attack == flagged
        )
        for title, attack, flagged in groups
    )


def _beside(results: Results) -> str:
    rows = [(b.quantity, b.ours, b.theirs, b.source) for b in beside(results)]
    intro = "Atli et al., Extraction of Complex DNN Models: Real Threat or Boogeyman?, victim CIFAR10-RN34. What differs:"
    head = ("quantity", "this run", "paper", "where")
    return table(head, rows) + note(intro) + items(differences(results))


def _reproduce(results: Results) -> str:
    facts: dict[str, Mapping[str, object]] = {
        "seeds": results.seeds,
        "versions": results.versions,
        "seconds a stage": {k: f"{v:.1f}" for k, v in results.stage_seconds.items()},
        "settings": results.settings,
    }
    lists = "".join(
        f"<details><summary>{escape(name)}</summary><dl>{_pairs(values.items())}</dl></details>"
        for name, values in facts.items()
        if values
    )
    return f"<pre>{escape(results.command)}</pre>{lists}"


def _pairs(facts: Iterable[tuple[str, object]]) -> str:
    return "".join(f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in facts)
