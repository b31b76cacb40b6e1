"""ROC curves on a report: each victim's, low false-positive rates legible, and none where an older version's file has none."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_evaluation_words import RUN

from evaluation.evaluation_page import markdown, page
from evaluation.evaluation_results import DetectorRow, Evaluation, read_evaluation, write_evaluation
from evaluation.evaluation_roc import rocs
from guard.errors import InvalidInputError
from guard.rate import Rate

ROOT = Path(__file__).parents[2]
HEADING = "what its detectors flag, by threshold"


def measured(name: str, gap: float, *, seed: int = 0) -> DetectorRow:
    rng = np.random.default_rng(seed)
    inside, outside = (rng.normal(mean, 1, n).astype(np.float32) for mean, n in ((0, 500), (gap, 300)))
    return DetectorRow.of(name, Rate.of(outside > 1.6), Rate.of(inside > 1.6), inside, outside)


def with_curves(*, seeds: int = 1) -> Evaluation:
    victims = tuple(
        RUN.victims[0].model_copy(
            update={
                "seed": seed,
                "detectors": (measured("energy", 2, seed=seed), measured("msp", 1, seed=seed)),
                "baseline": measured("low-level statistics", 0.3, seed=seed),
            }
        )
        for seed in range(seeds)
    )
    return RUN.model_copy(update={"victims": victims})


def test_every_detector_and_the_baseline_have_a_line_with_their_auroc() -> None:
    run = with_curves()
    [(heading, svg)] = rocs(run)
    assert heading == f"V: {HEADING}"
    for row in run.victims[0].measured:
        assert f"{row.name} (AUROC {row.auroc:.3f})" in svg


def test_seeds_of_a_victim_share_its_plot() -> None:
    [(_, svg)] = rocs(with_curves(seeds=2))
    assert len(re.findall(r"energy \(AUROC 0\.\d{3}, 0\.\d{3}\)", svg)) == 1


def test_axis_shows_less_than_a_percent() -> None:
    [(_, svg)] = rocs(with_curves())
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert {"0.1", "1", "10", "100"} <= set(texts)  # the least of 500 in images is 0.2 %
    assert any("logarithmic" in text for text in texts)


def test_curves_stand_below_the_table_of_detectors_and_a_table_says_the_same_in_markdown() -> None:
    run = with_curves()
    html, text = page(run), markdown(run)
    assert html.index("Victims and their detectors") < html.index(HEADING) < html.index("Every cell")
    assert "| TPR at FPR 0.1 % | TPR at FPR 1 % |" in text
    reached = max(tpr for fpr, tpr in run.victims[0].detectors[0].roc if fpr <= 0.05)
    row = next(line for line in text.splitlines() if line.startswith("| V, seed 0 | energy | -"))
    assert f"| {100 * reached:.1f} % |" in row


def test_curve_survives_its_file_and_one_that_cannot_be_is_refused(tmp_path: Path) -> None:
    run = with_curves()
    write_evaluation(run, tmp_path / "results.json")
    assert read_evaluation(tmp_path) == run
    document = json.loads((tmp_path / "results.json").read_text())
    document["victims"][0]["detectors"][0]["roc"][0] = [1.5, 1]
    (tmp_path / "results.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match="roc"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "gtsrb"])
def test_file_of_an_older_version_is_told_without_curves(name: str, tmp_path: Path) -> None:
    document = json.loads((ROOT / "docs" / "results" / f"evaluation-{name}.json").read_text())
    for victim in document["victims"]:
        for row in (*victim["detectors"], victim["baseline"]):
            del row["roc"]
    for cell in document["cells"]:
        del cell["told"], cell["chosen_by"]
    (tmp_path / "results.json").write_text(json.dumps(document))
    run = read_evaluation(tmp_path)
    assert all(d.roc == () for v in run.victims for d in v.measured)
    assert HEADING not in page(run)
    assert "TPR at FPR" not in markdown(run)
