"""A study's values survive a file, a margin has the interval that its source prints, and the page shows what was found."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.baseline import Margin
from evaluation.detection import Measure
from evaluation.detection_study import (
    AS_THEY_COME,
    BASELINE,
    MATCHED,
    BenignRow,
    MasqueradeRow,
    Row,
    StageRow,
    Study,
    VictimStudy,
    read_study,
    write_study,
)
from evaluation.detection_words import markdown, verdict
from guard.errors import InvalidInputError
from guard.rate import Rate


def measured(flagged: int) -> Measure:
    return Measure(Rate(flagged, 100), Rate(4, 100), 0.9, (0.85, 0.94), 0.3, (0.2, 0.4))


def gap(points: int) -> Margin:
    return Margin(points / 100, points / 100 - 0.08, points / 100 + 0.08)


def rows(detector: int, baseline: int) -> tuple[Row, ...]:
    return tuple(
        Row(
            world,
            name,
            pool,
            target,
            measured(flagged),
            Rate(baseline, 100),
            gap(flagged - baseline),
            Rate(flagged // 2, 50),
            Rate(1, 50),
        )
        for target in (0.01, 0.05)
        for world in (MATCHED, AS_THEY_COME)
        for pool in ("near", "far")
        for name, flagged in ((BASELINE, baseline), ("linear-late", detector))
    )


VICTIM = VictimStudy(
    "CIFAR10-CNN", "cifar10", "cnn-wide", 32, 0, 30_000, 0.8, 0.7, "reduced to 24 px", (("box", 27, 0.6, 0.93),), {"in_fit": 10},
    rows(60, 10),
    (StageRow("stage1", 64, 0.6, 0.55, 0.95, 0.8, 0.99),),
    (BenignRow("JPEG 75", "linear-late", Rate(3, 100)),),
    (
        MasqueradeRow("as sent", "linear-late", Rate(60, 100), False, 0.0),
        MasqueradeRow("search", "linear-late", Rate(1, 100), True, 5.0),
    ),
)  # fmt: skip
STUDY = Study(
    "A study", "x.toml", ("table4-imagenet",), ("Another victim.",), (0.01, 0.05), "linear-late", (VICTIM,), {"python": "3"}
)


def test_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_study(STUDY, tmp_path / "study.json")
    assert read_study(tmp_path / "study.json") == STUDY


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_file_that_holds_no_study_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(InvalidInputError, match="knockguard study"):
        read_study(tmp_path / "study.json")


@pytest.mark.parametrize(
    ("detector", "baseline", "word"),
    [(60, 10, ", content."), (25, 10, "a little content"), (12, 10, "hardly more than file format")],
)
def test_verdict_goes_by_the_margins_lower_end(detector: int, baseline: int, word: str) -> None:
    told = verdict(replace(VICTIM, rows=rows(detector, baseline)), STUDY)
    assert len(told) == 2
    assert all(sentence.endswith(f"{word}" if word.endswith(".") else f"{word}.") for sentence in told)


def test_page_shows_rates_with_n_beside_the_baseline_and_the_papers_figures() -> None:
    page = markdown(STUDY)
    assert "0.600 [0.502, 0.691] n=100" in page
    assert "+0.50" in page
    assert "0.96 at TNR 0.96" in page
    assert "Another victim." in page
    assert "0.010 [0.002, 0.054] n=100 *" in page
    heads = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in heads)


def test_each_detector_stands_beside_the_papers_of_its_kind() -> None:
    frozen = "frozen-lr-backbone=resnet18-side=64"
    named = tuple(
        replace(row, detector=name)
        for row, name in (
            (r, n) for r in rows(60, 10) if r.detector != BASELINE for n in ("linear-late", frozen, "msp", f"{frozen}, varied")
        )
    )
    page = markdown(replace(STUDY, victims=(replace(VICTIM, rows=named),), figures=("table3", "table4-imagenet")))
    ours = "near 0.60, far 0.60 at TNR 0.96"
    assert f"| `{frozen}` | CIFAR10-CNN | {ours} | {ours} |" in page
    assert f"| CIFAR10-RN34 | ImageNet | MSP / `msp` | 0.33 at TNR .95 | CIFAR10-CNN | {ours} | {ours} |" in page
    assert f"| CIFAR10-RN34 | ImageNet | RN101*LR / `{frozen}` | 0.96 at TNR 0.96 |" in page
    assert "RN152*LR 0.93 at 0.93" in page
    assert "| OpenImages |" not in page
    assert "varied` | CIFAR10" not in page
