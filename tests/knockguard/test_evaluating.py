"""`knockguard evaluate` in miniature: a cell that fails takes no other with it, a second run does nothing."""

import json
import shutil
from pathlib import Path

import pytest
from miniature import InProcess
from miniature_sets import write_sets

from evaluation.evaluation_results import CellResult, Evaluation, read_evaluation
from guard.errors import ConfigError
from knockguard.evaluating import EvaluateOptions, evaluate_file

pytestmark = pytest.mark.slow

FILE = """
title = "Miniature"
figures = ["table5", "table7"]
differs = ["Everything is small."]
detectors = ["linear-late"]
target_fpr = 0.1
budgets = [60, 150]
policies = ["observe", "shuffle"]
attacks = ["knockoff", { name = "in-distribution", options = { inside = 99 } }]
adversaries = ["soft", { name = "averaging", options = { copies = 3 } }]
[pool]
[[victims]]
name = "Discs"
set = "cifar10"
architecture = "cnn-small"
size = 24
n_train = 800
shares = { victim = 0.3, detector = 0.2, calibration = 0.4, adversary = 0.1 }
training = { epochs = 10 }
[[surrogates]]
name = "S"
architecture = "cnn-small"
training = { epochs = 8, optimiser = "sgd", lr = 0.05, drop_every = 6 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluating")
    (root / "data").mkdir()
    write_sets(root / "data", n_train=900, n_test=150)
    (root / "small.toml").write_text(FILE)
    return root


def carry_out(folder: Path, out: str, file: str = "small.toml") -> tuple[bool, Evaluation]:
    options = EvaluateOptions(folder / file, folder / "data", folder / out, fresh=False, victims=folder / "victims")
    whole = evaluate_file(options, as_json=True)
    return whole, read_evaluation(folder / out)


@pytest.fixture(scope="module")
def carried_out(folder: Path) -> tuple[bool, Evaluation]:
    return carry_out(folder, "out")


def find(evaluation: Evaluation, policy: str, adversary: str = "soft", budget: int = 150) -> CellResult:
    return next(c for c in evaluation.cells if (c.policy, c.adversary, c.budget) == (policy, adversary, budget))


def test_cells_that_cannot_be_are_named_and_take_no_other_with_them(carried_out: tuple[bool, Evaluation], folder: Path) -> None:
    """The pool has no class of the number that the in-distribution attack asks with, so it fails, and it alone."""
    whole, evaluation = carried_out
    assert not whole
    assert len(evaluation.cells) == len(evaluation.failures) == 8
    assert all("/in-distribution-inside=99/" in failure.id for failure in evaluation.failures)
    assert all("no image of group 99" in failure.error for failure in evaluation.failures)
    assert "Traceback" in (folder / "out" / "failed.log").read_text()


def test_detectors_have_curves_that_their_own_thresholds_lie_on(carried_out: tuple[bool, Evaluation]) -> None:
    [victim] = carried_out[1].victims
    assert [row.name for row in victim.measured] == ["linear-late", "low-level statistics"]
    for row in victim.measured:
        assert row.roc[-1] == (1.0, 1.0)
        stricter = [tpr for fpr, tpr in row.roc if fpr < row.fpr]
        looser = [tpr for fpr, tpr in row.roc if fpr >= row.fpr]
        assert max(stricter, default=0.0) <= row.tpr <= min(looser)


def test_division_is_of_the_images_that_are_used(carried_out: tuple[bool, Evaluation]) -> None:
    [victim] = carried_out[1].victims
    counts = victim.counts
    assert counts["victim"] + counts["detector"] + counts["calibration"] + counts["adversary"] == 800
    assert 230 <= counts["victim"] == victim.n_train <= 250
    assert (victim.n_test, counts["test"]) == (150, 150)


def test_each_policy_does_what_it_is_named_for(carried_out: tuple[bool, Evaluation]) -> None:
    evaluation = carried_out[1]
    [victim] = evaluation.victims
    [detector] = victim.detectors
    assert detector.tpr > 0.8
    observed, shuffled = (find(evaluation, policy) for policy in ("observe", "shuffle"))
    assert observed.benign_accuracy == pytest.approx(victim.accuracy, abs=0.02)
    assert shuffled.benign_accuracy <= observed.benign_accuracy
    assert observed.n_flagged == shuffled.n_flagged
    assert (observed.n_flagged or 0) > 100
    assert observed.benign_flagged == round(detector.fpr * detector.n_in)
    assert observed.recovery == pytest.approx(observed.surrogate_accuracy / victim.accuracy)
    assert sum(observed.answers) == observed.n_answered == observed.n_asked == 150


def test_budget_counts_what_is_asked_and_not_what_is_learned(carried_out: tuple[bool, Evaluation]) -> None:
    evaluation = carried_out[1]
    assert {(c.budget, c.n_asked) for c in evaluation.cells} == {(60, 60), (150, 150)}
    assert find(evaluation, "observe", "averaging-copies=3").n_asked == 150


def test_report_stands_beside_the_paper(carried_out: tuple[bool, Evaluation], folder: Path) -> None:
    text = (folder / "out" / "report.md").read_text()
    assert "CIFAR10-RN34" in text
    assert "Everything is small." in text
    assert "0.03x" in text
    page = (folder / "out" / "report.html").read_text()
    assert page.count("<svg") == 5
    assert "https://" not in page


def test_finished_cells_are_not_done_again(
    carried_out: tuple[bool, Evaluation], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = carried_out[1]
    again = carry_out(folder, "out")[1]
    assert "8 of 16 cells were finished before" in capsys.readouterr().err
    assert [c.model_dump() for c in again.cells] == [c.model_dump() for c in first.cells]  # seconds included


def test_cells_of_other_images_are_not_taken_for_finished(
    carried_out: tuple[bool, Evaluation], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The images are no images, under the same name and of the same size, so that nothing can be found but what was kept."""
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copytree(folder / "out", tmp_path / "out")
    table = tmp_path / "data" / "cifar10-train.parquet"
    table.write_bytes(bytes(table.stat().st_size))
    options = EvaluateOptions(folder / "small.toml", tmp_path / "data", tmp_path / "out", fresh=False)
    assert not evaluate_file(options, as_json=True)
    assert "were finished before" not in capsys.readouterr().err
    assert read_evaluation(tmp_path / "out").cells == ()


def test_cell_has_the_same_numbers_each_time_whatever_else_the_file_asks_for(
    carried_out: tuple[bool, Evaluation], folder: Path
) -> None:
    grid = FILE.replace("budgets = [60, 150]", "budgets = [150]").replace('["observe", "shuffle"]', '["shuffle"]')
    (folder / "one.toml").write_text(grid.replace(', { name = "averaging", options = { copies = 3 } }', ""))
    evaluate_file(EvaluateOptions(folder / "one.toml", folder / "data", folder / "one", fresh=False), as_json=True)
    anew = read_evaluation(folder / "one")
    [cell] = anew.cells
    assert cell.model_dump(exclude={"seconds"}) == find(carried_out[1], "shuffle").model_dump(exclude={"seconds"})
    assert anew.victims == carried_out[1].victims


def test_another_grid_finds_the_trained_victim_and_measures_it_alike(carried_out: tuple[bool, Evaluation], folder: Path) -> None:
    detectors = FILE[: FILE.index("budgets")] + FILE[FILE.index("[pool]") : FILE.index("[[surrogates]]")]
    (folder / "other.toml").write_text(detectors.replace('"linear-late"', '"energy"'))
    [kept] = (folder / "victims").glob("victim-*.npz")
    written = kept.stat().st_mtime_ns
    whole, other = carry_out(folder, "other", "other.toml")
    assert whole
    assert [d.name for d in other.victims[0].detectors] == ["energy"]
    assert other.victims[0].accuracy == carried_out[1].victims[0].accuracy
    assert [p.stat().st_mtime_ns for p in (folder / "victims").glob("victim-*.npz")] == [written]


def test_grid_with_other_budgets_takes_over_what_is_the_same_in_both(
    carried_out: tuple[bool, Evaluation], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "out", tmp_path / "out")
    (folder / "fewer.toml").write_text(
        FILE.replace("[60, 150]", "[60]").replace(', { name = "in-distribution", options = { inside = 99 } }', "")
    )
    whole, fewer = carry_out(folder, str(tmp_path / "out"), "fewer.toml")
    assert whole
    assert "4 of 4 cells were finished before" in capsys.readouterr().err
    both = {cell.id: cell for cell in carried_out[1].cells}
    assert [cell.model_dump() for cell in fewer.cells] == [both[cell.id].model_dump() for cell in fewer.cells]


def test_mistake_in_a_file_is_told_before_anything_is_trained(folder: Path, tmp_path: Path, knockguard: InProcess) -> None:
    (tmp_path / "bad.toml").write_text(FILE.replace('"shuffle"', '"shufle"').replace(", adversary = 0.1", ""))
    done = knockguard("evaluate", tmp_path / "bad.toml", "--data", folder / "data", "-o", tmp_path / "out")
    assert (done.code, "did you mean 'shuffle'" in done.words, "give [victim.shares] adversary" in done.words) == (2, True, True)
    with pytest.raises(ConfigError, match="is no folder"):
        evaluate_file(EvaluateOptions(folder / "small.toml", tmp_path / "gone", tmp_path / "out", fresh=False), as_json=True)
    assert not (tmp_path / "out" / "results.json").exists()


def test_set_that_is_missing_fails_its_victim_and_says_how_to_get_it(folder: Path, tmp_path: Path, knockguard: InProcess) -> None:
    (tmp_path / "data").mkdir()
    done = knockguard("evaluate", folder / "small.toml", "--data", tmp_path / "data", "-o", tmp_path / "out", "--json")
    assert done.code == 1, done.err
    document = json.loads(done.out)
    assert (len(document["cells"]), len(document["failures"])) == (0, 16)
    assert "torchvision.datasets.CIFAR10" in document["failures"][0]["error"]
