"""What is told of an evaluation: the best adversary by policy, the paper's cells, doubts, in Markdown and on a page."""

import re
from html.parser import HTMLParser

import pytest

from evaluation.evaluation_lines import best, lines_of
from evaluation.evaluation_page import markdown, page
from evaluation.evaluation_paper import beside
from evaluation.evaluation_results import (
    CellResult,
    DetectorRow,
    Evaluation,
    Failure,
    VictimRow,
    read_evaluation,
    write_evaluation,
)
from evaluation.evaluation_words import account, headline, tiles
from guard.rate import Rate


def cell(policy: str, recovery: float, **changes: object) -> CellResult:
    given = {
        "id": f"V/{policy}/{recovery}", "victim": "V", "surrogate": "S", "detector": "energy", "policy": policy,
        "attack": "knockoff", "adversary": "soft", "budget": 100, "seed": 0, "n_asked": 100, "n_answered": 100, "n_flagged": 60,
        "surrogate_accuracy": recovery * 0.8, "recovery": recovery, "recovery_interval": (recovery - 0.1, recovery + 0.1),
        "net_recovery": recovery - 0.05, "fidelity": 0.5, "benign_accuracy": 0.7, "benign_flagged": 3, "benign_n": 60,
        "answers": (70, 30), "recalls": (0.5, None), "seconds": 1.0,
    }  # fmt: skip
    return CellResult.model_validate(given | changes)


def detector(name: str, tpr: Rate, fpr: Rate, **changes: object) -> DetectorRow:
    given = {
        "name": name, "tpr": tpr.value, "tpr_interval": (tpr.low, tpr.high), "n_out": tpr.n, "fpr": fpr.value,
        "fpr_interval": (fpr.low, fpr.high), "n_in": fpr.n, "auroc": 0.9,
    }  # fmt: skip
    return DetectorRow.model_validate(given | changes)


def evaluation(*cells: CellResult, **changes: object) -> Evaluation:
    rates = Rate(30, 60), Rate(3, 60)
    victim = VictimRow(
        name="V", set="cifar10", architecture="cnn-small", weights="none", size=32, seed=0, accuracy=0.8,
        accuracy_interval=(0.7, 0.9), n_classes=2, n_train=50, n_test=60, recalls=(0.9, 0.7),
        detectors=(detector("energy", *rates),), baseline=detector("low-level", Rate(6, 60), Rate(3, 60)),
        images="as they come", counts={"test": 60},
    )  # fmt: skip
    given = {
        "title": "A title", "figures": ("table5", "table7"), "differs": ("It is small.",), "command": "knockguard",
        "created": "2026-01-01T00:00:00+00:00", "victims": (victim,), "cells": cells, "failures": (),
        "versions": {"python": "3.11"}, "seconds": {"a": 60.0}, "settings": {},
    }  # fmt: skip
    return Evaluation.model_validate(given | changes)


RUN = evaluation(
    cell("observe", 0.9),
    cell("observe", 0.7, adversary="labels-only"),
    cell("observe", 0.99, budget=50),
    cell("label-only@all", 0.6),
    cell("shuffle", 0.2),
    cell("shuffle", 0.5, adversary="noise-corrected"),
)


def test_best_adversary_counts_by_policy_at_the_largest_budget() -> None:
    assert [(line.policy, line.recovery, line.first.adversary) for line in best(RUN)] == [
        ("observe", 0.9, "soft"),
        ("label-only, to all", 0.6, "soft"),
        ("shuffle (energy)", 0.5, "noise-corrected"),
    ]
    assert headline(RUN) == (
        "With 100 queries the best copier of V recovers 0.90x of its accuracy undefended, and 0.50x behind shuffle (energy)."
    )


def on_halves(chosen_by: float, told: float, **changes: object) -> CellResult:
    half = {"recovery": told, "recovery_interval": (told - 0.2, told + 0.2), "net_recovery": told, "fidelity": 0.4}
    given = {"policy": "observe", "recovery": (chosen_by + told) / 2, "chosen_by": chosen_by, "told": half}
    return cell(**(given | changes))  # type: ignore[arg-type]


def test_best_of_several_is_chosen_on_one_half_and_told_of_the_other() -> None:
    """By the half that chooses the first is the best, by all images and by the half that tells the second."""
    run = evaluation(on_halves(0.8, 0.5), on_halves(0.7, 0.8, adversary="labels-only"))
    [line] = best(run)
    assert (line.first.adversary, line.recovery, line.net, line.fidelity) == ("soft", 0.5, 0.5, 0.4)
    assert line.recovery_interval == pytest.approx((0.3, 0.7))
    text = markdown(run)
    assert "0.50x (0.30 to 0.70)" in text
    assert "among up to 2 by one half of the test images" in text


def test_line_beside_one_that_is_chosen_is_told_of_the_same_half() -> None:
    rival = on_halves(0.7, 0.8, adversary="labels-only")
    observed, alone = best(evaluation(on_halves(0.8, 0.5), rival, on_halves(0.3, 0.1, policy="shuffle")))
    assert (observed.recovery, alone.recovery) == (0.5, 0.1)


def test_policy_that_holds_best_is_chosen_on_the_half_that_does_not_tell() -> None:
    run = evaluation(
        on_halves(0.9, 0.9), on_halves(0.3, 0.5, policy="shuffle"), on_halves(0.6, 0.1, policy="label-only@all", detector=None)
    )
    assert headline(run).endswith("recovers 0.90x of its accuracy undefended, and 0.50x behind shuffle (energy).")
    assert "The policy that holds best is chosen among up to 2 by one half of the test images" in markdown(run)


def test_only_cell_of_a_policy_is_told_of_all_images() -> None:
    run = evaluation(on_halves(0.8, 0.5))
    assert best(run)[0].recovery == pytest.approx(0.65)
    assert "chosen among" not in markdown(run)


def test_choice_on_the_test_images_themselves_is_owned_up_to() -> None:
    """Files of older versions have no halves."""
    assert "among up to 2 on the very test images" in markdown(RUN)
    mixed = evaluation(on_halves(0.8, 0.5), cell("observe", 0.6, adversary="labels-only"))
    assert best(mixed)[0].recovery == pytest.approx(0.65)
    assert "on the very test images" in markdown(mixed)


def test_seeds_are_averaged_and_each_is_told() -> None:
    given = {"net_recovery_interval": (0.6, 0.8)}
    run = evaluation(cell("observe", 0.9, **given), cell("observe", 0.5, seed=1, **given))
    [line] = best(run)
    assert (line.recovery, line.net_interval) == (0.7, (0.6, 0.8))
    assert line.recovery_interval == pytest.approx((0.6, 0.8))
    told = markdown(run)
    assert "0.70x (0.60 to 0.80); seeds: 0.90x, 0.50x" in told
    assert "0.65x (0.60 to 0.80)" in told


def test_flags_of_all_seeds_are_counted() -> None:
    run = evaluation(cell("observe", 0.9), cell("observe", 0.5, seed=1, n_flagged=20, benign_flagged=0))
    [line] = best(run)
    assert (line.flagged, line.customers_flagged) == ((80, 200), (3, 120))
    assert {"40.0 %", "2.5 %"} <= {word.strip() for word in markdown(run).split("|")}
    [unseen] = best(evaluation(cell("observe", 0.9), cell("observe", 0.5, seed=1, n_flagged=None)))
    assert unseen.flagged == (None, 200)


def test_interval_that_one_seed_lacks_is_left_out() -> None:
    run = evaluation(cell("observe", 0.9, net_recovery_interval=(0.6, 0.8)), cell("observe", 0.5, seed=1))
    assert best(run)[0].net_interval is None


def test_papers_cells_stand_beside_the_plain_attack_and_never_across_tables() -> None:
    told = {(b.where, b.quantity): (b.ours, b.theirs) for b in beside(RUN)}
    assert told["table 5, CIFAR10-RN34", "recovery, undefended"] == ("0.90x", "0.93x")
    assert told["table 5, CIFAR10-RN34", "recovery, flagged answers shuffled"] == ("0.20x", "0.03x")
    assert told["table 7, CIFAR10-RN34", "recovery, full vectors"] == ("0.90x", "0.75x")
    assert told["table 7, CIFAR10-RN34", "recovery, labels alone"] == ("0.60x", "0.57x")
    assert told["table 5, CIFAR10-RN34", "victim's accuracy"] == ("80.0 %", "94.6 %")


def test_figures_of_all_victims_together_stand_beside_the_range_of_ours() -> None:
    """Section 5.3 prints the lowest and the highest accuracy of a copy, section 5.4 a rate of true negatives."""
    other = RUN.victims[0].model_copy(update={"name": "W"})
    cells = (
        cell("observe", 0.5),
        cell("observe", 0.9, victim="W"),
        cell("observe", 1.0, attack="in-distribution", n_flagged=10),
        cell("observe", 1.0, adversary="averaging"),
    )
    run = evaluation(*cells, victims=(RUN.victims[0], other), figures=("section5.3", "section5.4"))
    assert [(b.victim, b.quantity, b.ours, b.theirs, b.where) for b in beside(run)] == [
        ("V", "copy's accuracy, lowest over victims", "40.0 %", "3.9 %", "section 5.3, all victims"),
        ("W", "copy's accuracy, highest over victims", "72.0 %", "41.9 %", "section 5.3, all victims"),
        ("V", "in let through (TNR), energy", "95.0 %", "50 %", "section 5.4, all victims"),
        ("V", "in-distribution queries let through, energy", "90.0 %", "-", "section 5.4, all victims"),
        ("W", "in let through (TNR), energy", "95.0 %", "50 %", "section 5.4, all victims"),
    ]
    assert [b.ours for b in beside(evaluation(figures=("section5.3",)))] == ["-", "-"]


def test_second_pools_rates_are_not_paired_with_the_attacks_pool() -> None:
    run = evaluation(figures=("table4-imagenet", "table4-openimages"))
    assert {b.where for b in beside(run)} == {"table4-imagenet, CIFAR10-RN34".replace("table", "table ")}


def test_cell_that_is_missing_is_a_dash() -> None:
    told = {b.quantity: b.ours for b in beside(evaluation(cell("observe", 0.9)))}
    assert told["recovery, flagged answers shuffled"] == "-"


def doubts(run: Evaluation) -> str:
    return " ".join(line for s in account(run) if s.title == "Take care" for block in s.blocks for line in block.lines)


def test_weak_attack_and_detection_of_file_format_are_doubted() -> None:
    assert doubts(RUN) == ""
    assert "too weak to judge a defence by" in doubts(evaluation(cell("observe", 0.4)))
    victim = RUN.victims[0]
    format_alone = victim.model_copy(update={"baseline": detector("low-level statistics", Rate(29, 60), Rate(3, 60))})
    assert "may be file format" in doubts(RUN.model_copy(update={"victims": (format_alone,)}))


def test_cells_that_failed_alike_share_a_line() -> None:
    failures = tuple(Failure(id=f"V/{n}", error=error) for n, error in enumerate(("no images", "no room", "no images")))
    text = markdown(evaluation(cell("observe", 0.9), failures=failures))
    assert "- V/0, V/2: no images\n- V/1: no room\n" in text


def test_page_opens_with_what_is_stolen_and_what_customers_bear() -> None:
    assert [tile[:3] for tile in tiles(RUN)] == [
        ("harm", "0.90x", "of V's accuracy recovered undefended"),
        ("safe", "0.50x", "recovered behind shuffle (energy)"),
        ("", "0.700", "a customer's accuracy behind it"),
        ("", "5.0 %", "of 60 customers' images flagged"),
    ]
    html = page(RUN)
    assert html.index("0.90x of its accuracy undefended") < html.index("recovered behind shuffle") < html.index("<section")


def test_policies_of_a_frontier_are_named_once_each_beside_their_points() -> None:
    svg = page(RUN).partition("Harm against utility")[2].partition("</svg>")[0]
    named = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert [n for n in named if n in {"observe", "label-only, to all", "shuffle (energy)"}] == [
        "observe", "label-only, to all", "shuffle (energy)",
    ]  # fmt: skip


def test_experiment_stands_on_the_page_as_it_was_read() -> None:
    assert "&quot;n_train&quot;: 50" in page(RUN.model_copy(update={"settings": {"n_train": 50}}))


def test_failures_are_told_first_and_nothing_breaks_the_page() -> None:
    evil = "<script>|*x*\nsecond"
    run = evaluation(cell("observe", 0.9), failures=(Failure(id="V/shuffle", error=evil),), title=evil)
    text = markdown(run)
    assert text.index("V/shuffle") < text.index("Best adversary by policy")
    assert "<script>" not in text.split("\n", 1)[1]
    tags: list[str] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, _attrs: tags.append(tag)  # type: ignore[method-assign]
    reader.feed(page(run))
    assert "script" not in tags
    assert tags.count("table") == 5


def test_run_without_theft_tells_what_detectors_do() -> None:
    assert headline(evaluation()) == "V: energy flags 50.0 % of out images at 5.0 % of in images."
    assert page(evaluation())


def test_nothing_at_all_is_said_to_be_nothing() -> None:
    empty = evaluation(victims=(), failures=(Failure(id="V, seed 0", error="no images"),))
    assert headline(empty) == "Nothing was measured."
    assert "no images" in markdown(empty)


def test_document_survives_its_file(tmp_path) -> None:
    write_evaluation(RUN, tmp_path / "results.json")
    assert read_evaluation(tmp_path) == RUN


def test_recovery_is_plotted_by_what_passed_unharmed_a_point_a_line() -> None:
    """Seeds are one point; undefended everything passes, and behind a policy on all rows nothing."""
    more = cell("shuffle", 0.4, adversary="noise-corrected", seed=1, n_flagged=40)
    run = evaluation(*RUN.cells, more, victims=(*RUN.victims, RUN.victims[0].model_copy(update={"seed": 1})))
    passed = [(line.policy, line.unharmed) for line in lines_of(run) if line.first.budget == 100]
    assert passed == [
        ("observe", 100.0), ("observe", 100.0), ("label-only, to all", None),
        ("shuffle (energy)", 40.0), ("shuffle (energy)", 50.0),
    ]  # fmt: skip
    svg = page(run).partition("V: recovery by what passed")[2].partition("</svg>")[0]
    named = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"observe", "shuffle (energy)"} <= set(named)
    assert not any("label-only" in text for text in named)
    assert any("TPR × budget" in text for text in named)


@pytest.mark.parametrize("cells", [(cell("observe", 0.9),), (cell("observe", 0.9), cell("shuffle", 0.2, n_flagged=None))])
def test_nothing_is_plotted_by_what_passed_without_a_defence_or_without_flags(cells: tuple[CellResult, ...]) -> None:
    assert "recovery by what passed" not in page(evaluation(*cells))


def test_headline_table_stands_above_the_plots() -> None:
    html = page(RUN)
    assert 0 < html.index("Best adversary by policy") < html.index("<svg") < html.index("Every cell")
