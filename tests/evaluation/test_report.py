"""The page and the table: true to the figures, whole in one file, safe to open."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sample_run import artefacts, detector, policy, results

from evaluation.artefacts import Artefacts, Example
from evaluation.report import page, write_report
from evaluation.report_paper import beside
from evaluation.report_table import TERMINAL_COLUMNS, policy_rows, results_table
from evaluation.report_text import cautions, certainty, findings, headline
from evaluation.results import Results

VOID = {"meta", "img", "br", "hr", "path", "use", "line"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and whether every tag was closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.replace("\N{NO-BREAK SPACE}", " "))


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def with_policies(*policies: object) -> Results:
    return results().model_copy(update={"policies": policies})


def test_headline_states_both_recoveries_and_the_price() -> None:
    assert headline(results()) == (
        "Undefended, a copier with 4,000 queries recovers 0.93x of the victim; behind shuffle 0.35x. "
        "1.0 % of 812 benign queries are flagged."
    )


def test_headline_does_without_an_undefended_run() -> None:
    assert headline(with_policies(policy("shuffle", 0.29))).startswith("With 4,000 queries, a copier behind shuffle 0.35x.")


def test_a_policy_that_hardly_protects_is_said_to() -> None:
    assert any("label-only hardly protects here" in line for line in findings(results()))
    assert any("shuffle takes 63 % of what the copier had" in line for line in findings(results()))


def test_a_sound_run_needs_no_caution() -> None:
    assert cautions(results()) == []
    assert "Take care" not in page(results(), None)
    assert "90 in 100" in findings(results())[0]


def test_a_detector_no_better_than_low_level_statistics_is_said_to_be() -> None:
    shortcut = results().model_copy(update={"baseline": detector("low-level statistics", 0.95, 0.04)})
    assert "may be file format" in cautions(shortcut)[0]
    assert "Take care" in page(shortcut, None)


def test_an_attack_too_weak_to_judge_by_is_said_to_be() -> None:
    assert "too weak" in cautions(with_policies(policy("observe", 0.4), policy("shuffle", 0.3)))[0]
    assert "No undefended attack" in cautions(with_policies(policy("shuffle", 0.3)))[0]


def test_customers_flagged_beyond_the_target_are_said_to_be() -> None:
    many = policy("observe", 0.78).model_copy(update={"benign_flagged": 90})
    assert "11.1 % of 812 benign queries" in cautions(with_policies(many))[0]
    within_chance = policy("observe", 0.78).model_copy(update={"benign_flagged": 45})  # 5.5 %
    assert cautions(with_policies(within_chance)) == []


def test_page_refers_to_nothing_outside_itself() -> None:
    text = page(results(), artefacts())
    reader = read(text)
    assert reader.tags.count("svg") == 5
    assert reader.tags.count("img") == 4
    assert not {"script", "link", "iframe"} & set(reader.tags)
    assert all(link.startswith(("data:", "#")) for link in reader.links)
    assert not re.search(r"@import|url\((?!#)", text)


def test_page_shows_every_policy_figure() -> None:
    words = " ".join(read(page(results(), artefacts())).words)
    for p in results().policies:
        assert p.policy in words
        assert f"{p.recovery:.2f}x" in words
        assert f"{p.net_recovery:.2f}x" in words
    assert "96.2 % of 4,000" in words
    assert "knockguard demo --seed 0" in words


def test_what_could_not_be_measured_is_a_dash_and_no_number() -> None:
    run = results()
    blind = run.model_copy(
        update={"policies": tuple(p.model_copy(update={"net_recovery": None, "fidelity": None}) for p in run.policies)}
    )
    for row, told in zip(policy_rows(blind), policy_rows(run), strict=True):
        assert (row[3], row[4]) == ("-", "-") != (told[3], told[4])
    assert page(blind, None)


def test_page_escapes_what_comes_from_outside() -> None:
    evil = "<script>alert(1)</script>$x$&\"'"
    run = results().model_copy(update={"policies": (policy(evil, 0.5),), "command": evil, "settings": {evil: evil}})
    shown = Artefacts(
        np.zeros(3, np.float32), np.ones(3, np.float32), 0.5, (Example(np.zeros((2, 2, 3), np.uint8), evil, True, True),)
    )
    text = page(run, shown)
    assert "script" not in read(text).tags
    assert text.count("&lt;script&gt;") >= 5


def test_page_of_a_run_without_scores_or_curves_has_neither_plot() -> None:
    bare = with_policies(policy("observe", 0.5).model_copy(update={"budget_curve": ()}))
    assert read(page(bare, None)).tags.count("svg") == 1


@pytest.mark.parametrize(
    ("inside", "outside"),
    [([], []), ([1.0], []), ([2.0] * 5, [2.0] * 5), ([np.nan, -np.inf, 0.0], [np.inf, 1.0]), ([-1e30], [1e30])],
)
def test_page_draws_degenerate_scores(inside: list[float], outside: list[float]) -> None:
    shown = Artefacts(np.array(inside, np.float32), np.array(outside, np.float32), 2.0)
    n_plots = 5 if inside and outside else 4  # no ROC of one side
    assert read(page(results(), shown)).tags.count("svg") == n_plots


def test_an_attack_from_outside_is_reported_without_what_it_cannot_know() -> None:
    blind = policy("shuffle", 0.29).model_copy(
        update={"flagged": None, "benign_accuracy": None, "benign_flagged": 0, "benign_n": 0}
    )
    run = with_policies(policy("observe", 0.78), blind).model_copy(
        update={"detector": None, "baseline": None, "other_detectors": ()}
    )
    words = " ".join(read(page(run, None)).words)
    assert "0.35x" in words
    assert "not measured" in words
    assert "Who is flagged" not in words
    assert headline(run).endswith("behind shuffle 0.35x.")
    assert "TPR" not in str(results_table(run).caption)


def test_a_budget_that_buys_the_copy_back_is_told() -> None:
    leaky = policy("shuffle", 0.29).model_copy(update={"budget_curve": ((1000, 0.35), (4000, 0.7))})
    assert any("with 4,000 the copy is back at 0.70x" in c for c in cautions(with_policies(policy("observe", 0.78), leaky)))
    assert not any("back at" in c for c in cautions(results()))


def test_pools_that_are_not_matched_are_told() -> None:
    unmatched = results().model_copy(update={"baseline": detector("low-level statistics", 0.4, 0.01)})
    assert any("not matched" in c for c in cautions(unmatched))
    matched = results().model_copy(update={"baseline": detector("low-level statistics", 0.05, 0.05)})
    assert not any("not matched" in c for c in cautions(matched))


def test_equal_runs_make_equal_pages(tmp_path: Path) -> None:
    write_report(results(), artefacts(), tmp_path / "a.html")
    write_report(results(), artefacts(), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_intervals_name_the_images_and_the_groups_they_are_of() -> None:
    said = certainty(results())
    assert "over 1,281 test images in 20 groups: victim 0.812 to 0.866" in said
    assert "behind shuffle recovery 0.31x to 0.40x, customers' accuracy 0.801 to 0.857" in said
    assert certainty(results().model_copy(update={"victim": results().victim.model_copy(update={"interval": None})})) == ""


def test_paper_stands_beside_only_what_was_run() -> None:
    assert {b.theirs for b in beside(results())} == {"96 %", "0.93x", "0.03x", "0.57x"}
    assert "0.03x" not in {b.theirs for b in beside(with_policies(policy("observe", 0.5)))}


def test_terminal_table_has_a_row_a_policy_and_reads_no_markup() -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(results_table(with_policies(policy("observe", 0.78), policy("[red]x", 0.29))))
    text = console.export_text()
    assert all(column in text for column in TERMINAL_COLUMNS)
    assert "[red]x" in text
    assert "0.93x" in text
    assert "low-level statistics: TPR 6.0 %" in text


def test_classes_are_drawn_where_they_were_measured() -> None:
    """Figure 1: above the undefended answers, below the accuracies of victim and of both copies."""
    assert "share of answers" not in page(results(), None)
    measured = [
        policy(name, 0.5).model_copy(update={"answers": (3500, 500), "recalls": (0.9, 0.1)}) for name in ("observe", "shuffle")
    ]
    victim = results().victim.model_copy(update={"recalls": (0.9, 0.8)})
    words = read(page(with_policies(*measured).model_copy(update={"victim": victim}), None)).words
    assert {"share of answers", "tropical", "copy, observe", "copy behind shuffle"} <= set(words)
