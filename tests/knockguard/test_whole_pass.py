"""One whole pass in miniature: victim, detectors, bundle, a real gateway process, a real attack, a copy."""

from pathlib import Path

import numpy as np
import pytest
from miniature import COLOURS, SIDE, Miniature, discs, quiet, stripes

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Pool
from evaluation.attacks.registry import ATTACKS
from evaluation.metrics import fidelity
from evaluation.replay import Budget
from evaluation.surrogate import Student, copy_victim
from evaluation.training import Training, predict
from exporters.graph import load_graph
from exporters.runtime import run as infer
from exporters.taps import find_taps
from guard.bundle import InputSpec, load_bundle
from guard.calibration import calibrate
from guard.preprocess import to_inputs
from guard.types import Bools, Floats, Pixels
from knockguard.demo_clients import Scene, Served, play
from knockguard.protect import Material, Plan, Protected, protect

SPEC = InputSpec(name="image", shape=(3, SIDE, SIDE), layout="NCHW", scale=1 / 255)
N_QUERIES = 160


@pytest.fixture(scope="session")
def material() -> Material:
    return Material(
        in_fit=discs(300, seed=10)[0],
        out_fit=stripes(300, seed=11),
        calibration={"as_sent": discs(240, seed=12)[0], "again": discs(240, seed=13)[0]},
        in_test=discs(90, seed=2)[0],
        out_test=stripes(N_QUERIES, seed=15),
    )


@pytest.fixture(scope="session")
def protected(miniature: Miniature, material: Material) -> Protected:
    graph = load_graph(miniature.onnx)
    plan = Plan(SPEC, "discs", COLOURS)
    return protect(graph, find_taps(graph), material, plan, original=miniature.onnx, progress=quiet)


@pytest.fixture(scope="session")
def served(protected: Protected, material: Material, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    folder = tmp_path_factory.mktemp("whole")
    protected.write(folder / "bundle")
    found = {}
    for policy in ("observe", "shuffle"):
        (folder / policy).mkdir()
        scene = Scene(
            bundle=folder / "bundle",
            model="discs",
            policy=policy,
            apply_to="flagged",
            customer=material.in_test,
            attack=ATTACKS.get("knockoff")(),
            pool=Pool(material.out_test),
            budgets=(Budget(N_QUERIES // 2), Budget(N_QUERIES)),
            seed=0,
        )
        found[policy] = play(scene, folder / policy, log=folder / "log", progress=quiet)
    return found


def truth(protected: Protected, pixels: Pixels) -> tuple[Floats, Bools]:
    """Return what the fused graph says: probabilities, and who is flagged."""
    found = infer(protected.model, to_inputs(pixels, SPEC))
    return found["probabilities"], protected.measured[0].threshold.flags(found["scores"][:, 0])


def test_detector_parts_discs_from_stripes(protected: Protected) -> None:
    first = protected.measured[0]
    assert first.name == "linear-late"
    assert first.tpr.low > 0.9
    assert first.fpr.low < 0.05


def test_strictest_calibration_set_counts(protected: Protected, material: Material) -> None:
    values = [
        calibrate(infer(protected.model, to_inputs(p, SPEC))["scores"][:, 0], target_fpr=0.05).value
        for p in material.calibration.values()
    ]
    assert protected.measured[0].threshold.value == max(values)


def test_customers_get_the_victims_answers_under_observe(served: dict[str, Served], miniature: Miniature) -> None:
    exp = np.exp(miniature.logits - miniature.logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(served["observe"].benign, exp / exp.sum(axis=1, keepdims=True), atol=1e-4)


def test_gateway_counts_the_flags_that_the_threshold_gives(
    served: dict[str, Served], protected: Protected, material: Material
) -> None:
    for found in served.values():
        first = found.stolen.first(N_QUERIES // 2).queries.pixels
        assert found.flagged == truth(protected, first)[1].sum()
        assert found.benign_flagged == truth(protected, material.in_test)[1].sum()


def test_every_query_of_the_pool_is_asked_once_across_both_budgets(served: dict[str, Served], material: Material) -> None:
    sources = served["shuffle"].stolen.queries.sources
    assert sorted(sources.tolist()) == list(range(N_QUERIES))
    np.testing.assert_array_equal(served["shuffle"].stolen.queries.pixels, material.out_test[sources])


def test_shuffle_permutes_flagged_answers_and_leaves_the_others(served: dict[str, Served], protected: Protected) -> None:
    stolen = served["shuffle"].stolen
    probabilities, flagged = truth(protected, stolen.queries.pixels)
    np.testing.assert_allclose(np.sort(stolen.answers), np.sort(probabilities), atol=1e-5)
    np.testing.assert_allclose(stolen.answers[~flagged], probabilities[~flagged], atol=1e-5)
    assert flagged.sum() > 100
    moved = (stolen.answers[flagged].argmax(axis=1) != probabilities[flagged].argmax(axis=1)).mean()
    assert 0.4 < moved < 0.9  # two thirds, by chance


def test_copy_learns_what_was_answered_and_not_what_was_meant(served: dict[str, Served], protected: Protected) -> None:
    agreement = {}
    for policy, found in served.items():
        student = Student("cnn-small", Training(epochs=30))
        copy = copy_victim(found.stolen, adversary=ADVERSARIES.get("soft")(), student=student, seed=0, progress=quiet)
        pixels = found.stolen.queries.pixels
        agreement[policy] = fidelity(predict(copy, pixels), truth(protected, pixels)[0])
    assert agreement["observe"] > agreement["shuffle"] + 0.15


def test_bundle_holds_what_was_measured_and_no_secret(protected: Protected, tmp_path: Path) -> None:
    protected.write(tmp_path / "bundle")
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest == protected.manifest
    assert manifest.policy.name == "observe"
    assert manifest.provenance.images["in_fit"] == 300
    assert "secret" not in (tmp_path / "bundle" / "bundle.json").read_text()
