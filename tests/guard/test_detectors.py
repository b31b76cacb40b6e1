"""The contract of every detector, and its agreement with pytorch-ood where that has the method, and with the formula."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from exporters.lower import lower
from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head
from guard.detectors.registry import DETECTORS
from guard.errors import ConfigError, FitError
from guard.settings import from_options
from guard.types import Floats

Taps = Mapping[str, Floats]
N_CLASSES, WIDTH, N_IN = 4, 12, 400
_RNG = np.random.default_rng(7)
_MEANS = 3 * _RNG.normal(size=(N_CLASSES, WIDTH))
_WEIGHTS, _BIAS = (0.08 * _MEANS.T).astype(np.float32), _RNG.normal(size=N_CLASSES).astype(np.float32)


def taps_of(z: np.ndarray) -> Taps:
    """What a victim with a linear last layer shows of penultimate features z."""
    z = z.astype(np.float32)
    logits = z @ _WEIGHTS + _BIAS
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    stages = {f"stage{i}": np.concatenate([np.tanh(z / i), np.abs(z) / i], axis=1).astype(np.float32) for i in (1, 2, 10)}
    return {"penultimate": z, "logits": logits, "probabilities": exp / exp.sum(axis=1, keepdims=True), **stages}


def inside(n: int, seed: int) -> tuple[Taps, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % N_CLASSES
    return taps_of(_MEANS[labels] + rng.normal(size=(n, WIDTH))), labels.astype(np.int64)


def outside(n: int, seed: int) -> Taps:
    """Near the origin and wide: no class, no confidence, other directions."""
    return taps_of(np.random.default_rng(seed).normal(size=(n, WIDTH)) * 1.2 + 0.3)


def data() -> FitData:
    features, labels = inside(N_IN, seed=0)
    return FitData(features, labels, N_CLASSES, outside(300, seed=1))


def session(head: Head) -> ort.InferenceSession:
    """Lay a head onto a graph whose inputs are its taps."""
    lowered = lower(head, {tap: tap for tap in head.taps}, prefix="head", opset=18)
    shown = taps_of(np.zeros((1, WIDTH)))
    inputs = [helper.make_tensor_value_info(t, TensorProto.FLOAT, ["n", shown[t].shape[1]]) for t in head.taps]
    output = helper.make_tensor_value_info(lowered.score, TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(lowered.nodes, "head", inputs, [output], lowered.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def score(head: Head, taps: Taps) -> Floats:
    (found,) = session(head).run(None, {tap: taps[tap] for tap in head.taps})
    return np.asarray(found)


def ood(name: str, *, scale: float = 1.0, **options: Any) -> Callable[[FitData, Taps], np.ndarray]:
    """A reference of pytorch-ood times `scale`: higher = more out, there as here.

    Scales: its GEN takes the mean where the paper sums; its scatter matrices are sums over rows, Mahalanobis' doubled.
    """

    def reference(fitted: FitData, taps: Taps) -> np.ndarray:
        pytest.importorskip("pytorch_ood", reason="pytorch-ood is not installed")
        import torch
        from pytorch_ood import detector

        given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        made = getattr(detector, name)(None, **given)
        if hasattr(made, "predict_logits"):
            return scale * made.predict_logits(torch.tensor(taps["logits"])).double().numpy()
        made.fit_features(torch.tensor(fitted.features["penultimate"]), torch.tensor(fitted.labels))
        return scale * np.asarray(made.predict_features(torch.tensor(taps["penultimate"])), np.float64).ravel()

    return reference


def relative_distance(fitted: FitData, taps: Taps) -> np.ndarray:
    z, y = fitted.features["penultimate"].astype(np.float64), fitted.labels
    means = np.stack([z[y == c].mean(axis=0) for c in range(N_CLASSES)])

    def distance(x: np.ndarray, centres: np.ndarray, spread: np.ndarray) -> np.ndarray:
        covariance = spread.T @ spread / len(spread)
        covariance += 1e-3 * np.diag(covariance).mean() * np.eye(len(covariance))
        gap = x[:, None] - centres[None]
        return np.einsum("nkd,de,nke->nk", gap, np.linalg.inv(covariance), gap).min(axis=1)

    x = taps["penultimate"].astype(np.float64)
    return distance(x, means, z - means[y]) - distance(x, z.mean(axis=0)[None], z - z.mean(axis=0))


def mahalanobis(fitted: FitData, taps: Taps) -> np.ndarray:
    z, y = fitted.features["penultimate"].astype(np.float64), fitted.labels
    means = np.stack([z[y == c].mean(axis=0) for c in range(N_CLASSES)])
    spread = z - means[y]
    covariance = spread.T @ spread / len(z)
    covariance += 1e-3 * np.diag(covariance).mean() * np.eye(WIDTH)
    gap = taps["penultimate"].astype(np.float64)[:, None] - means[None]
    return np.einsum("nkd,de,nke->nk", gap, np.linalg.inv(covariance), gap).min(axis=1)


def neighbours(fitted: FitData, taps: Taps) -> np.ndarray:
    def unit(a: np.ndarray) -> np.ndarray:
        return a / np.linalg.norm(a, axis=1, keepdims=True)

    bank, x = unit(fitted.features["penultimate"].astype(np.float64)), unit(taps["penultimate"].astype(np.float64))
    return np.sort(np.linalg.norm(x[:, None] - bank[None], axis=2), axis=1)[:, 9]


def virtual_logit(fitted: FitData, taps: Taps) -> np.ndarray:
    origin = -np.linalg.pinv(_WEIGHTS.T.astype(np.float64)) @ _BIAS
    z = fitted.features["penultimate"].astype(np.float64) - origin
    space = np.linalg.eigh(z.T @ z)[1][:, : WIDTH - WIDTH // 2]
    alpha = fitted.features["logits"].max(axis=1).mean() / np.linalg.norm(z @ space, axis=1).mean()
    energy = np.log(np.exp(taps["logits"].astype(np.float64)).sum(axis=1))
    return alpha * np.linalg.norm((taps["penultimate"] - origin) @ space, axis=1) - energy


@dataclass(frozen=True)
class Case:
    """One row: a detector, its options, and references that its scores agree with."""

    name: str
    references: tuple[Callable[[FitData, Taps], np.ndarray], ...] = ()
    options: dict[str, float | int] = field(default_factory=dict)

    def build(self) -> Detector:
        return from_options(DETECTORS.get(self.name), self.options, what=self.name)


CASES = [
    Case("msp", (ood("MaxSoftmax"),)),
    Case("max-logit", (ood("MaxLogit"),)),
    Case("energy", (ood("EnergyBased"),)),
    Case("energy", options={"temperature": 2.5}),
    Case("gen", (ood("GEN", scale=N_CLASSES, gamma=0.1),)),
    Case("gen", (ood("GEN", scale=2, gamma=0.3, M=2),), {"gamma": 0.3, "top": 2}),
    Case("mahalanobis", (mahalanobis,)),
    Case("mahalanobis", (ood("Mahalanobis", scale=2 * N_IN),), {"ridge": 1e-9}),
    Case("relative-mahalanobis", (relative_distance,)),
    Case("relative-mahalanobis", (ood("RMD", scale=N_IN),), {"ridge": 1e-9}),
    Case("knn", (neighbours, ood("KNN", k=10))),
    Case("vim", (virtual_logit, ood("ViM", d=WIDTH // 2, w=_WEIGHTS.T, b=_BIAS))),
    Case("linear"),  # no reference: test_logistic.py holds its fit to the optimum
    Case("linear-late"),
    Case("linear-last"),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join([c.name, *map(str, c.options.values())]))


def test_every_registered_detector_is_in_the_table() -> None:
    assert {case.name for case in CASES} == set(DETECTORS)


@cases
def test_score_is_float32_finite_one_a_row_and_higher_for_out(case: Case) -> None:
    head = case.build().fit(data())
    inner, outer = score(head, inside(200, seed=2)[0]), score(head, outside(200, seed=3))
    for found in (inner, outer):
        assert found.shape == (200,)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
    wins = (outer[:, None] > inner[None]).mean()
    assert wins > 0.6, f"an out row scores above an in row in {wins:.2f} of pairs"


@cases
def test_refit_is_equal_and_inputs_are_left_alone(case: Case) -> None:
    fitted = data()
    before = pickle.dumps(fitted)
    first, second = case.build().fit(fitted), case.build().fit(fitted)
    assert pickle.dumps(fitted) == before
    assert (first.taps, first.operations, first.score) == (second.taps, second.operations, second.score)
    assert {k: v.tobytes() for k, v in first.constants.items()} == {k: v.tobytes() for k, v in second.constants.items()}


@cases
def test_no_row_and_one_row_are_scored_and_a_row_alone_is_the_row_in_a_batch(case: Case) -> None:
    head = case.build().fit(data())
    taps, _ = inside(9, seed=4)
    together = score(head, taps)
    assert score(head, {k: v[:0] for k, v in taps.items()}).shape == (0,)
    alone = np.concatenate([score(head, {k: v[i : i + 1] for k, v in taps.items()}) for i in range(9)])
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


@cases
def test_reloaded_graph_scores_the_same_bytes(case: Case) -> None:
    head, (taps, _) = case.build().fit(data()), inside(20, seed=5)
    assert score(head, taps).tobytes() == score(pickle.loads(pickle.dumps(head)), taps).tobytes()


@pytest.mark.parametrize(
    ("case", "reference"),
    [pytest.param(c, r, id=f"{c.name}-{i}-{len(c.options)}") for c in CASES for i, r in enumerate(c.references)],
)
def test_agrees_with_its_reference(case: Case, reference: Callable[[FitData, Taps], np.ndarray]) -> None:
    fitted, taps = data(), outside(100, seed=6)
    ours, theirs = score(case.build().fit(fitted), taps), reference(fitted, taps)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_late_stages_leave_the_early_ones_out() -> None:
    """Ten follows two, as numbers do and names do not."""
    assert DETECTORS.get("linear-late")().fit(data()).taps == ("stage2", "stage10")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("energy", {"temperature": 0}, "greater than 0"),
        ("gen", {"gamma": 1.5}, "gamma is 1.5"),
        ("gen", {"top": 0}, "top is 0"),
        ("knn", {"k": 30, "bank": 10}, "at most bank"),
        ("vim", {"dimensions": -1}, "dimensions is -1"),
        ("mahalanobis", {"ridge": 0}, "ridge is 0"),
        ("relative-mahalanobis", {"ridge": -1}, "ridge is -1"),
        ("linear", {"strength": 0}, "strength is 0"),
        ("linear", {"strenght": 1}, "did you mean 'strength'"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_options(DETECTORS.get(name), options, what=name)


def few(n: int) -> FitData:
    full = data()
    return FitData({k: v[:n] for k, v in full.features.items()}, full.labels[:n], N_CLASSES, full.out_features)


@pytest.mark.parametrize(
    ("name", "fitted", "message"),
    [
        ("mahalanobis", few(2), r"no image of classes \[2, 3\]"),
        ("knn", few(5), "needs as many in images, and got 5"),
        ("vim", few(12), "needs more in images than the 12 features, and got 12"),
        ("linear", FitData(data().features, data().labels, N_CLASSES, {}), "got none"),
        ("linear", FitData({"logits": data().features["logits"]}, data().labels, N_CLASSES, {}), "no stage tap"),
    ],
)
def test_data_that_do_not_do_are_refused(name: str, fitted: FitData, message: str) -> None:
    with pytest.raises(FitError, match=message):
        DETECTORS.get(name)().fit(fitted)


def test_features_that_never_vary_are_refused_and_not_divided_by() -> None:
    flat = np.ones((40, WIDTH), np.float32)
    fitted = FitData({**inside(40, 0)[0], "penultimate": flat}, np.arange(40) % N_CLASSES, N_CLASSES, {})
    with pytest.raises(FitError, match="none of the 12 features varies"):
        DETECTORS.get("mahalanobis")().fit(fitted)
