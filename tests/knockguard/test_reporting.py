"""`knockguard report` of an evaluation: all of it, and what there is of one that was stopped."""

import json
from pathlib import Path

import pytest
from miniature import InProcess, listing

from evaluation.evaluation_page import markdown
from evaluation.evaluation_results import read_evaluation

WHOLE = Path(__file__).parents[2] / "docs" / "results" / "evaluation-cifar10.json"


def test_evaluation_is_reported_where_the_page_is_sent(tmp_path: Path, knockguard: InProcess) -> None:
    done = knockguard("report", WHOLE, "-o", tmp_path / "page.html")
    assert done.code == 0, done.err
    evaluation = read_evaluation(WHOLE)
    assert evaluation.victims[0].name in done.out
    assert evaluation.title in (tmp_path / "page.html").read_text()
    assert (tmp_path / "page.md").read_text() == markdown(evaluation)
    assert listing(tmp_path) == {"page.html", "page.md"}


@pytest.mark.parametrize("n_cells", [0, 1])
def test_evaluation_that_was_stopped_is_reported_from_what_it_left(n_cells: int, tmp_path: Path, knockguard: InProcess) -> None:
    document = json.loads(WHOLE.read_text())
    document["cells"] = document["cells"][:n_cells]
    (tmp_path / "results.json").write_text(json.dumps(document))
    done = knockguard("report", tmp_path)
    assert done.code == 0, done.err
    assert listing(tmp_path) == {"results.json", "report.html", "report.md"}


def test_mistake_in_an_evaluation_is_named_as_one(tmp_path: Path, knockguard: InProcess) -> None:
    document = json.loads(WHOLE.read_text())
    document["cells"][0]["budget"] = -1
    (tmp_path / "results.json").write_text(json.dumps(document))
    done = knockguard("report", tmp_path)
    assert (done.code, "cells.0.budget" in done.words, "policies" in done.words) == (3, True, False)
    assert listing(tmp_path) == {"results.json"}
