"""results.json: what is written is read, and what cannot be is refused in words."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sample_run import artefacts, results

from evaluation.artefacts import read_artefacts, write_artefacts
from evaluation.results import DetectorResult, PolicyResult, Results, read_results, write_results
from guard.calibration import calibrate
from guard.errors import InvalidInputError
from guard.rate import Rate
from guard.whole import write_whole


def test_results_survive_the_file(tmp_path: Path) -> None:
    write_results(results(), tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results()
    assert read_results(tmp_path) == results()


def test_document_holds_the_promised_keys(tmp_path: Path) -> None:
    write_results(results(), tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    assert {"accuracy", "chance"} <= document["victim"].keys()
    assert {"name", "tpr", "fpr", "n_in", "n_out", "threshold", "target_fpr", "auroc"} <= document["detector"].keys()
    assert {"tpr", "fpr"} <= document["baseline"].keys()
    promised = {"policy", "surrogate_accuracy", "recovery", "net_recovery", "fidelity", "benign_accuracy", "queries", "flagged"}
    assert all(promised | {"benign_flagged", "benign_n", "budget_curve"} <= p.keys() for p in document["policies"])
    assert {"versions", "seeds", "stage_seconds", "settings"} <= document.keys()


def test_undefended_and_strongest_are_found_by_their_figures() -> None:
    run = results()
    assert run.undefended is not None
    assert run.undefended.policy == "observe"
    assert run.strongest is not None
    assert run.strongest.policy == "shuffle"
    alone = run.model_copy(update={"policies": run.policies[:1]})
    assert alone.strongest is None


def test_a_detector_is_stated_with_n_and_intervals() -> None:
    flags = np.array([True] * 9 + [False])
    made = DetectorResult.of(
        "linear",
        tpr=Rate.of(flags),
        fpr=Rate.of(~flags),
        threshold=calibrate(np.arange(200.0, dtype=np.float32), target_fpr=0.05),
    )
    assert (made.tpr, made.n_out, made.fpr, made.n_in) == (0.9, 10, 0.1, 10)
    assert made.tpr_interval[0] < 0.9 < made.tpr_interval[1]
    assert (made.target_fpr, made.n_calibration) == (0.05, 200)


def test_a_count_above_its_n_is_refused() -> None:
    with pytest.raises(ValidationError, match="5000 of 4000 queries"):
        PolicyResult.model_validate(results().policies[0].model_dump() | {"flagged": 5000})


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, -0.1, 1.1])
def test_a_share_outside_zero_to_one_is_refused(accuracy: float) -> None:
    with pytest.raises(ValidationError):
        Results.model_validate(results().model_dump() | {"victim": results().victim.model_dump() | {"accuracy": accuracy}})


def test_a_typo_hears_the_nearest_key(tmp_path: Path) -> None:
    document = results().model_dump(mode="json")
    document["victm"] = document.pop("victim")
    (tmp_path / "results.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match="did you mean 'victim'"):
        read_results(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"format_version": 2}'])
def test_what_is_no_results_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"results\.json"):
        read_results(tmp_path)


def test_a_missing_file_says_which_command_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="knockguard demo"):
        read_results(tmp_path)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    write_whole(target, b"old")
    with pytest.raises(TypeError):
        write_whole(target, "text is not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_artefacts_survive_the_file(tmp_path: Path) -> None:
    before = artefacts()
    write_artefacts(before, tmp_path / "artefacts.npz")
    after = read_artefacts(tmp_path / "artefacts.npz")
    assert after.threshold == before.threshold
    assert (after.in_scores == before.in_scores).all()
    assert (after.out_scores == before.out_scores).all()
    assert [(e.caption, e.attack, e.flagged) for e in after.examples] == [
        (e.caption, e.attack, e.flagged) for e in before.examples
    ]
    assert all((a.pixels == b.pixels).all() for a, b in zip(after.examples, before.examples, strict=True))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"\x80\x04pickle"])
def test_what_holds_no_artefacts_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "artefacts.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"artefacts\.npz"):
        read_artefacts(tmp_path / "artefacts.npz")
