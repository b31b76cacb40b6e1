"""The contract of every detector, and its agreement with pytorch-ood where that has the method, and with the formula."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight

from exporters.lower import lower
from guard.detectors.base import Detector, FitData
from guard.detectors.frozen_lr import FrozenLr
from guard.detectors.head import Head
from guard.detectors.registry import DETECTORS
from guard.detectors.scratch import Scratch
from guard.errors import ConfigError, FitError
from guard.fitting.logistic import STRENGTHS
from guard.settings import from_options
from guard.types import Floats

Taps = Mapping[str, Floats]
Reference = Callable[[FitData, Taps], np.ndarray]
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
    # What networks beside the victim give: features of their own, and the log-odds that one was trained to.
    networks = {FROZEN: np.tanh(z) * 2, TRAINED: 3 - np.abs(z).mean(axis=1, keepdims=True)}
    return {"penultimate": z, "logits": logits, "probabilities": exp / exp.sum(axis=1, keepdims=True), **stages, **networks}


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


FROZEN, TRAINED = FrozenLr().network.tap, Scratch().network.tap


def graph(head: Head) -> bytes:
    """Lay a head onto a graph whose inputs are its taps; return the file's bytes."""
    lowered = lower(head, {tap: tap for tap in head.taps}, prefix="head", opset=18)
    inputs = [helper.make_tensor_value_info(t, TensorProto.FLOAT, ["n", None]) for t in head.taps]
    output = helper.make_tensor_value_info(lowered.score, TensorProto.FLOAT, ["n"])
    made = helper.make_graph(lowered.nodes, "head", inputs, [output], lowered.initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def score(head: Head, taps: Taps) -> Floats:
    return scored(graph(head), taps)


def scored(model: bytes, taps: Taps) -> Floats:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {i.name: taps[i.name] for i in session.get_inputs()})
    return np.asarray(found)


def ood(name: str, *, scale: float = 1.0, **options: Any) -> Reference:
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


def neighbours(k: int, *, bank: int = N_IN, seed: int = 0) -> Reference:
    """The k-th distance to a bank of so many images, drawn without replacement."""

    def unit(a: np.ndarray) -> np.ndarray:
        return a / np.linalg.norm(a, axis=1, keepdims=True)

    def reference(fitted: FitData, taps: Taps) -> np.ndarray:
        kept = np.random.default_rng(seed).permutation(N_IN)[:bank]
        known, x = unit(fitted.features["penultimate"].astype(np.float64)[kept]), unit(taps["penultimate"].astype(np.float64))
        return np.sort(np.linalg.norm(x[:, None] - known[None], axis=2), axis=1)[:, k - 1]

    return reference


def virtual_logit(dimensions: int) -> Reference:
    def reference(fitted: FitData, taps: Taps) -> np.ndarray:
        origin = -np.linalg.pinv(_WEIGHTS.T.astype(np.float64)) @ _BIAS
        z = fitted.features["penultimate"].astype(np.float64) - origin
        space = np.linalg.eigh(z.T @ z)[1][:, : WIDTH - dimensions]
        alpha = fitted.features["logits"].max(axis=1).mean() / np.linalg.norm(z @ space, axis=1).mean()
        energy = np.log(np.exp(taps["logits"].astype(np.float64)).sum(axis=1))
        return alpha * np.linalg.norm((taps["penultimate"] - origin) @ space, axis=1) - energy

    return reference


def regression(*names: str, strength: float = 1e-3) -> Reference:
    """scikit-learn's own pipeline on these taps, side by side, by a solver that ends at the optimum."""

    def reference(fitted: FitData, taps: Taps) -> np.ndarray:
        rows = [np.concatenate([side[n] for n in names], axis=1) for side in (fitted.features, fitted.out_features, taps)]
        x = np.concatenate(rows[:2]).astype(np.float64)
        options = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10}
        model = LogisticRegression(C=1 / (strength * len(x)), **options)
        pipeline = make_pipeline(StandardScaler(), model).fit(x, np.repeat([0, 1], [len(rows[0]), len(rows[1])]))
        return np.asarray(pipeline.decision_function(rows[2].astype(np.float64)))

    return reference


def chosen_regression(folds: int) -> Reference:
    """scikit-learn's grid search over the same strengths and folds, then its regression."""

    def reference(fitted: FitData, taps: Taps) -> np.ndarray:
        sides = (fitted.features[FROZEN], fitted.out_features[FROZEN])
        x, y = np.concatenate(sides).astype(np.float64), np.repeat([0, 1], list(map(len, sides)))
        fold = np.concatenate([np.arange(len(side)) % folds for side in sides])
        z = StandardScaler().fit_transform(x)
        options = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10}
        losses = {}
        for strength in STRENGTHS:
            model = LogisticRegression(**options)
            total = 0.0
            for held in range(folds):
                known, asked = fold != held, fold == held
                model.set_params(C=1 / (strength * known.sum())).fit(z[known], y[known])
                weights = compute_sample_weight("balanced", y[asked])
                total += log_loss(y[asked], model.predict_proba(z[asked])[:, 1], sample_weight=weights)
            losses[strength] = total
        return regression(FROZEN, strength=min(losses, key=losses.__getitem__))(fitted, taps)

    return reference


@dataclass(frozen=True)
class Case:
    """One row: a detector, its options, and references that its scores agree with, to a share of the largest."""

    name: str
    references: tuple[Reference, ...] = ()
    options: dict[str, float | int] = field(default_factory=dict)
    tolerance: float = 1e-4

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
    Case("knn", (neighbours(10), ood("KNN", k=10))),
    Case("knn", (neighbours(3, bank=50),), {"k": 3, "bank": 50}),
    Case("knn", (neighbours(1, bank=20, seed=5),), {"k": 1, "bank": 20, "seed": 5}),
    Case("vim", (virtual_logit(WIDTH // 2), ood("ViM", d=WIDTH // 2, w=_WEIGHTS.T, b=_BIAS))),
    Case("vim", (virtual_logit(3), ood("ViM", d=3, w=_WEIGHTS.T, b=_BIAS)), {"dimensions": 3}),
    Case("linear", (regression("stage1", "stage2", "stage10"),), tolerance=3e-4),
    Case("linear", (regression("stage1", "stage2", "stage10", strength=0.1),), {"strength": 0.1}),
    Case("linear-late", (regression("stage2", "stage10"),)),  # ten follows two, as numbers do and names do not
    Case("linear-last", (regression("penultimate", "logits"),)),
    Case("two-sided"),
    Case("frozen-lr", (chosen_regression(3),), {"folds": 3}),
    Case("scratch", (lambda _, taps: taps[TRAINED][:, 0],)),
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
def test_graph_read_back_from_a_file_scores_the_same_bytes(case: Case, tmp_path: Path) -> None:
    head, (taps, _) = case.build().fit(data()), inside(20, seed=5)
    (tmp_path / "head.onnx").write_bytes(graph(head))
    reloaded = onnx.load(tmp_path / "head.onnx")
    onnx.checker.check_model(reloaded, full_check=True)
    weights = {i.name.removeprefix("head/"): onnx.numpy_helper.to_array(i) for i in reloaded.graph.initializer}
    for name, array in head.constants.items():
        assert (weights[name].dtype, weights[name].tobytes()) == (array.dtype, array.tobytes())
    assert scored(reloaded.SerializeToString(), taps).tobytes() == score(head, taps).tobytes()


@pytest.mark.parametrize(
    ("case", "reference"),
    [
        pytest.param(c, r, id="-".join([c.name, *map(str, c.options.values()), str(i)]))
        for c in CASES
        for i, r in enumerate(c.references)
    ],
)
def test_agrees_with_its_reference(case: Case, reference: Reference) -> None:
    fitted, taps = data(), outside(100, seed=6)
    ours, theirs = score(case.build().fit(fitted), taps), reference(fitted, taps)
    np.testing.assert_allclose(ours, theirs, rtol=case.tolerance, atol=case.tolerance * np.abs(theirs).max())


def test_two_sided_sees_what_lies_on_both_sides_and_linear_does_not() -> None:
    rng = np.random.default_rng(11)
    near, wide = (rng.normal(0, size, (600, 6)).astype(np.float32) for size in (1, 5))
    fitted = FitData({"stage1": near[:300]}, np.zeros(300, np.int64), N_CLASSES, {"stage1": wide[:300]})

    def wins(name: str) -> float:
        found = DETECTORS.get(name)().fit(fitted)
        inner, outer = (score(found, {"stage1": part[300:]}) for part in (near, wide))
        return float((outer[:, None] > inner[None]).mean())

    assert wins("two-sided") > 0.98
    assert wins("linear") < 0.7


def test_frozen_lr_leaves_overlapping_classes_out_where_asked() -> None:
    whole = data()
    overlap = whole.labels == 0
    marked = replace(whole, overlap=overlap)
    sides = {k: v[~overlap] for k, v in whole.features.items()}
    without_them = FitData(sides, whole.labels[~overlap], N_CLASSES, whole.out_features)
    taps = outside(50, seed=8)
    left_out, kept = (score(FrozenLr(folds=2, remove_overlap=flag).fit(marked), taps) for flag in (True, False))
    np.testing.assert_array_equal(left_out, score(FrozenLr(folds=2).fit(without_them), taps))
    np.testing.assert_array_equal(kept, score(FrozenLr(folds=2).fit(whole), taps))
    assert np.abs(left_out - kept).max() > 0.01


def test_networks_that_differ_have_taps_that_differ_and_say_no_path() -> None:
    made = [
        FrozenLr(),
        FrozenLr(side=32),
        FrozenLr(backbone="resnet18"),
        FrozenLr(weights="/secret/a.pth"),
        Scratch(),
        Scratch(seed=1),
    ]
    taps = [detector.network.tap for detector in made]
    assert len(set(taps)) == len(taps)
    assert not [tap for tap in taps if "secret" in tap]
    assert FrozenLr(folds=3).network.tap == FrozenLr().network.tap, "one network for both"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("energy", {"temperature": 0}, "greater than 0"),
        ("energy", {"temperature": float("inf")}, "temperature is inf; it must be finite"),
        ("gen", {"gamma": 1.5}, "gamma is 1.5"),
        ("gen", {"top": 0}, "top is 0"),
        ("knn", {"k": 30, "bank": 10}, "at most bank"),
        ("knn", {"seed": -1}, "seed is -1; it must be 0 or more"),
        ("vim", {"dimensions": -1}, "dimensions is -1"),
        ("mahalanobis", {"ridge": float("inf")}, "ridge is inf; it must be finite"),
        ("relative-mahalanobis", {"ridge": float("nan")}, "ridge is nan; it must be finite"),
        ("linear-last", {"strength": float("inf")}, "linear-last: strength is inf; it must be finite"),
        ("mahalanobis", {"ridge": 0}, "ridge is 0"),
        ("relative-mahalanobis", {"ridge": -1}, "ridge is -1"),
        ("linear", {"strength": 0}, "strength is 0"),
        ("linear", {"strenght": 1}, "did you mean 'strength'"),
        ("frozen-lr", {"folds": 1}, "folds is 1; it must be at least 2"),
        ("frozen-lr", {"weights": "none"}, "a frozen network needs some"),
        ("frozen-lr", {"side": 4}, "side is 4 pixels; it must be 8 to 1024"),
        ("frozen-lr", {"backbone": ""}, "backbone and weights must be given"),
        ("scratch", {"side": 5000}, "side is 5000 pixels"),
        ("scratch", {"epochs": 0}, "epochs 0"),
        ("scratch", {"weights": "network.onnx"}, "cannot be trained"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_options(DETECTORS.get(name), options, what=name)


def with_logits(logits: Floats) -> FitData:
    return replace(data(), features={**data().features, "logits": logits}, out_features={})


def flat_beyond(directions: int) -> FitData:
    """In images whose features lie in a few directions about the point where the logits vanish, in float32."""
    origin = -np.linalg.pinv(_WEIGHTS.T.astype(np.float64)) @ _BIAS
    z = origin + np.random.default_rng(3).normal(size=(N_IN, directions)) @ _MEANS[:directions]
    return FitData(taps_of(z), np.arange(N_IN) % N_CLASSES, N_CLASSES, {})


def without(tap: str) -> FitData:
    sides = [{k: v for k, v in side.items() if k != tap} for side in (data().features, data().out_features)]
    return FitData(sides[0], data().labels, N_CLASSES, sides[1])


def few(n: int) -> FitData:
    full = data()
    return FitData({k: v[:n] for k, v in full.features.items()}, full.labels[:n], N_CLASSES, full.out_features)


@pytest.mark.parametrize(
    ("name", "fitted", "message"),
    [
        ("mahalanobis", few(2), r"no image of classes \[2, 3\] among 2 \(without labels, .* the victim's top label\)"),
        ("mahalanobis", few(15), "15 in images do not determine the covariance of 12 features about 4 mean.*give at least 16"),
        ("relative-mahalanobis", few(15), "give at least 16"),
        ("knn", few(5), "needs as many in images, and got 5"),
        ("vim", few(12), "needs more in images than the 12 features, and got 12"),
        ("linear", FitData(data().features, data().labels, N_CLASSES, {}), "got none"),
        ("linear", FitData({"logits": data().features["logits"]}, data().labels, N_CLASSES, {}), "no stage tap"),
        (
            "vim",
            with_logits(data().features["logits"] - 50),
            r"largest logit, whose mean over in images is -\d+.*must be positive",
        ),
        ("vim", flat_beyond(4), "the in images have no residual"),
        *[
            (n, without("penultimate"), "no 'penultimate'; known are")
            for n in ("mahalanobis", "relative-mahalanobis", "knn", "vim")
        ],
        ("linear-last", without("penultimate"), "no 'penultimate'"),
        ("frozen-lr", without(FROZEN), "no 'network/resnet101/"),
        ("scratch", without(TRAINED), "no 'network/resnet18/"),
        ("frozen-lr", FitData(data().features, data().labels, N_CLASSES, {}), "got none"),
        ("frozen-lr", few(9), "9 in and 300 out rows cannot be divided into 10 folds"),
        ("frozen-lr", replace(data(), overlap=np.arange(N_IN) > 5), "6 in and 300 out rows cannot be divided into 10 folds"),
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


def broken(row: int, value: float) -> Floats:
    features = data().features["stage1"].copy()
    features[row, 2] = value
    return features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"stage1": broken(3, np.nan)}}, r"stage1 of in image 3 holds values that are not finite \(1 such"),
        ({"features": {"stage1": broken(7, np.inf)}}, "stage1 of in image 7 holds"),
        ({"out_features": {"stage1": broken(0, -np.inf)}}, "stage1 of out image 0 holds"),
        ({"features": {"stage1": np.zeros((0, 24), np.float32)}, "labels": np.zeros(0, np.int64)}, "there are no in images"),
        ({"labels": np.full(N_IN, 4)}, r"in image 0 has label 4 \(400 such\); labels are 0 to 3"),
        ({"labels": np.arange(N_IN) - 1}, "in image 0 has label -1"),
        ({"labels": np.zeros(3, np.int64)}, r"stage1 of in images has shape \(400, 24\); it must be \(n, d\) with 3 rows"),
        ({"features": {"stage1": np.zeros(N_IN, np.float32)}}, r"has shape \(400,\); it must be \(n, d\)"),
        ({"out_features": {"stage1": np.zeros((9, 23), np.float32)}}, "24 numbers for in images and 23 for out images"),
        ({"out_features": {"logits": np.zeros((9, 4), np.float32)}}, "only one side has logits, stage1"),
        ({"n_classes": 1}, "n_classes is 1"),
        ({"overlap": np.ones(3, np.bool_)}, r"overlap has shape \(3,\) for 400 in images"),
    ],
)
def test_features_that_mean_nothing_are_refused_before_any_detector_sees_them(changes: dict[str, Any], message: str) -> None:
    good = {
        "features": {"stage1": data().features["stage1"]},
        "labels": data().labels,
        "n_classes": N_CLASSES,
        "out_features": {},
    }
    FitData(**good)
    with pytest.raises(FitError, match=message):
        FitData(**(good | changes))
