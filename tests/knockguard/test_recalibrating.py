"""`knockguard recalibrate`: thresholds from logged scores, of this very bundle, and never from too few."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from miniature import InProcess, listing
from tiny_bundle import tiny_manifest, tiny_model, write_tiny

from guard.bundle import QUANTILES, load_bundle, write_bundle
from guard.calibration import Threshold, calibrate
from guard.decision_log import Decided, Origin
from guard.guard import Guard
from guard.policies.observe import Observe
from guard.types import ApplyTo

SCORES = np.random.default_rng(4).random(600).astype(np.float32)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "bundle")


def write_log(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(scores: np.ndarray, **more: object) -> list[dict[str, object]]:
    return [{"score": float(score), **more} for score in scores]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_thresholds_and_quantiles_are_those_of_the_logged_scores(
    suffix: str, tiny: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    log = write_log(tmp_path / f"log.{suffix}", rows_of(SCORES, tenant="shop"))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new", "--version", "4", "--json")
    assert done.code == 0, done.err
    before, after = load_bundle(tiny), load_bundle(tmp_path / "new")
    (detector,) = after.manifest.detectors
    assert detector.threshold == calibrate(SCORES, target_fpr=0.05)
    np.testing.assert_allclose(detector.quantiles, np.quantile(SCORES, QUANTILES))
    assert (after.model, after.manifest.version) == (before.model, "4")
    assert after.manifest.provenance.images == {"calibration_logged_linear": 600}
    (row,) = json.loads(done.out)["detectors"]
    assert (row["n"], row["threshold_before"], row["moved"]) == (600, 0.5, "no")
    assert row["threshold_after"] == detector.threshold.value


def test_rows_of_others_do_not_count(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    digest = load_bundle(tiny).manifest.digest
    high = np.full(50, 9.0)
    folder = tmp_path / "log"
    folder.mkdir()
    ours = rows_of(SCORES, tenant="shop", bundle=digest, model="tiny", version="3", detector="linear")
    write_log(folder / "a.jsonl", ours)
    rows = [
        *rows_of(high, tenant="thief"),
        *rows_of(high, tenant="shop", bundle="0" * 12),
        *rows_of(high, tenant="shop", model="other"),
        *rows_of(high, tenant="shop", version="9"),
        {"score": None, "flagged": False, "tenant": "shop"},
    ]
    write_log(folder / "b.jsonl", rows)
    done = knockguard("recalibrate", tiny, "--scores", folder, "-o", tmp_path / "new", "--tenant", "shop", "--json")
    assert done.code == 0, done.err
    assert load_bundle(tmp_path / "new").manifest.detectors[0].threshold == calibrate(SCORES, target_fpr=0.05)
    passed = {f"of another {what}": 50 for what in ("tenant", "bundle", "model", "version")}
    assert json.loads(done.out)["passed_over"] == {**passed, "answered unguarded": 1}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_scores_that_are_not_finite_count_as_flagged(suffix: str, tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    """A row without a number is flagged whatever the threshold, so of what is tolerated it takes its share."""
    unknown = [float("nan"), float("inf"), 1e300, *[float("nan")] * 5]
    log = write_log(tmp_path / f"log.{suffix}", rows_of(np.concatenate([SCORES[:592], unknown]), tenant="shop"))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new", "--json")
    assert done.code == 0, done.err
    assert "8 of 600 scores of linear are not finite" in done.words
    threshold = load_bundle(tmp_path / "new").manifest.detectors[0].threshold
    flagged = threshold.flags(np.concatenate([SCORES[:592], unknown]))
    promised = calibrate(SCORES, target_fpr=0.05).flags(SCORES)
    assert (threshold.n, int(flagged.sum())) == (600, int(promised.sum()))


def test_more_scores_without_a_number_than_the_target_are_refused(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    rows = [*rows_of(SCORES[:560]), *({"score": None, "flagged": True} for _ in range(40))]
    done = knockguard("recalibrate", tiny, "--scores", write_log(tmp_path / "log.jsonl", rows), "-o", tmp_path / "new")
    assert (done.code, "40 of 600 logged scores of linear are not finite" in done.words) == (3, True), done.words
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("target", ["0", "1", "-0.1"])
def test_target_that_no_log_supports_is_refused(target: str, tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    log = write_log(tmp_path / "log.jsonl", rows_of(SCORES))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new", "--target-fpr", target)
    assert done.code in (2, 3), done.words
    assert "it must lie between 0 and 1, both excluded" in done.words
    assert not (tmp_path / "new").exists()


def test_audit_log_of_a_gateway_is_read_as_it_is(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    manifest = load_bundle(tiny).manifest
    guard = Guard(manifest, Observe(), apply_to=ApplyTo.FLAGGED)
    decision = guard.decide(np.full((600, 3), 1 / 3, np.float32), SCORES[:, None])
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "decisions-1.jsonl").write_text(Decided(Origin.of(manifest), decision, "shop", "q1", 0.0).lines())
    (tmp_path / "log" / "decisions-2.jsonl.part").write_text("{")  # still written to
    done = knockguard("recalibrate", tiny, "--scores", tmp_path / "log", "-o", tmp_path / "new", "--tenant", "shop")
    assert done.code == 0, done.err
    assert load_bundle(tmp_path / "new").manifest.detectors[0].threshold == calibrate(SCORES, target_fpr=0.05)


def test_numbers_do_for_names(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    log = write_log(tmp_path / "log.parquet", rows_of(SCORES, version=3, tenant=7))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new", "--tenant", "7")
    assert done.code == 0, done.err


def test_too_few_are_refused_with_the_number_that_would_do(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    log = write_log(tmp_path / "log.jsonl", rows_of(SCORES[:89]))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new")
    assert (done.code, "89 calibration images" in done.words, "give at least 90" in done.words) == (3, True, True)
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new", "--target-fpr", "0.01")
    assert (done.code, "give at least 459" in done.words) == (3, True)
    assert not (tmp_path / "new").exists()


def test_threshold_that_rises_and_repeats_are_warned_of(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    log = write_log(tmp_path / "log.jsonl", rows_of(np.repeat(SCORES[:120] + 3, 5)))
    done = knockguard("recalibrate", tiny, "--scores", log, "-o", tmp_path / "new")
    assert done.code == 0, done.err
    assert "the threshold rises from 0.5 to 3." in done.words
    assert "only 20% of the scores are different" in done.words
    assert "yes" in done.out


def test_bundle_is_replaced_by_force_alone(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    log = write_log(tmp_path / "log.jsonl", rows_of(SCORES))
    refused = knockguard("recalibrate", tiny, "--scores", log, "-o", tiny)
    assert (refused.code, "or force to replace" in refused.words) == (3, True)
    assert knockguard("recalibrate", tiny, "--scores", log, "-o", tiny, "--force").code == 0
    assert load_bundle(tiny).manifest.detectors[0].threshold.n == 600
    assert listing(tmp_path) == {"log.jsonl", "bundle", "bundle/bundle.json", "bundle/model.onnx"}


def test_threshold_of_each_class_needs_the_classes(tmp_path: Path, knockguard: InProcess) -> None:
    model = tiny_model()
    manifest = tiny_manifest(model=model)
    (detector,) = manifest.detectors
    own = detector.model_copy(update={"threshold": Threshold(0.5, 0.2, 0.99, 9, 0.1, (0.1, 0.2, 0.3))})
    write_bundle(tmp_path / "bundle", manifest=manifest.model_copy(update={"detectors": (own,)}), model=model)
    silent = write_log(tmp_path / "silent.jsonl", rows_of(SCORES))
    refused = knockguard("recalibrate", tmp_path / "bundle", "--scores", silent, "-o", tmp_path / "new")
    assert (refused.code, "log it as 'top'" in refused.words) == (3, True)
    log = write_log(tmp_path / "log.csv", [{"score": s + i % 3, "top": i % 3} for i, s in enumerate(SCORES.tolist())])
    done = knockguard("recalibrate", tmp_path / "bundle", "--scores", log, "-o", tmp_path / "new")
    assert done.code == 0, done.err
    threshold = load_bundle(tmp_path / "new").manifest.detectors[0].threshold
    assert threshold.per_class is not None
    assert [int(value) for value in threshold.per_class] == [0, 1, 2]


BAD = {
    "no score": ("log.jsonl", '{"skore": 1}\n', "log.jsonl line 1 has no 'score' but skore"),
    "no number": ("log.jsonl", '{"score": 1}\n{"score": "high"}\n', "log.jsonl line 2: the score is 'high', no number"),
    "no float": ("log.jsonl", '{"score": 1' + "0" * 400 + "}\n", "line 1: the score is '1000"),
    "no json": ("log.jsonl", "score=1\n", "log.jsonl line 1 is no JSON"),
    "no object": ("log.jsonl", "[1]\n", "line 1 is no object"),
    "endless line": ("log.jsonl", "1" * 100_000, "line 1 is no JSON of at most 65536"),
    "deep": ("log.jsonl", "[" * 60_000, "line 1 is no JSON"),
    "no rows": ("log.csv", "score\n", "has no score of linear, which decides"),
    "other detector": ("log.csv", "score,detector\n1,knn\n" + "1,linear\n" * 95, "has scores of 'knn', which is no detector"),
    "class": ("log.csv", "score,top\n1,7\n", "line 2: the class ranked first is '7'; it must be 0 to 2"),
    "suffix": ("log.txt", "1\n", "log.txt is none of .jsonl, .csv, .parquet"),
    "no parquet": ("log.parquet", "PAR1", "not a Parquet file"),
    "bytes": ("log.jsonl", b"\xff\xfe\x00", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_log_that_cannot_be_used_is_named_by_file_and_line(case: str, tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    name, content, said = BAD[case]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    done = knockguard("recalibrate", tiny, "--scores", tmp_path / name, "-o", tmp_path / "new")
    assert (done.code, said in done.words, "Traceback" in done.err) == (3, True, False), done.words
    assert not (tmp_path / "new").exists()


def test_log_that_is_not_there_is_named(tiny: Path, tmp_path: Path, knockguard: InProcess) -> None:
    for name in ("gone.jsonl", "gone"):
        done = knockguard("recalibrate", tiny, "--scores", tmp_path / name, "-o", tmp_path / "new")
        assert (done.code, f"{name}; give a file of scores, or the folder of an audit log" in done.words) == (3, True)
