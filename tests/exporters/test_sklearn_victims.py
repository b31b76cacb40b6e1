"""Victims of scikit-learn: flattened images in, a ZipMap at the end, no stages inside."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from exporters.fuse import fuse
from exporters.graph import graph_bytes, input_of, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.detectors.base import FitData
from guard.detectors.registry import DETECTORS
from guard.errors import GraphError

SHAPE = (6, 5, 3)
IMAGES = np.random.default_rng(0).random((80, *SHAPE), dtype=np.float32)
LABELS = np.arange(80) % 4
IMAGES[np.arange(80), LABELS, 0, 0] += 1

MODELS = {
    "logistic": (LogisticRegression(), {"msp", "gen"}),
    "forest": (RandomForestClassifier(8, random_state=0), {"msp", "gen"}),
    "mlp": (MLPClassifier((12,), max_iter=400, solver="lbfgs", random_state=0), {"msp", "gen", "energy", "max-logit", "knn"}),
}


def convert(model: ClassifierMixin, path: Path, **options: object) -> Path:
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    rows = IMAGES.reshape(len(IMAGES), -1)
    path.write_bytes(skl2onnx.to_onnx(model.fit(rows, LABELS), rows[:1], **{"target_opset": 18} | options).SerializeToString())
    return path


@pytest.mark.parametrize("zipped", [True, False], ids=["zipmap", "tensor"])
@pytest.mark.parametrize("name", MODELS)
def test_model_of_flattened_images_is_fused_and_answers_as_scikit_learn(tmp_path: Path, name: str, zipped: bool) -> None:
    model, detectors = MODELS[name]
    path = convert(model, tmp_path / "m.onnx", options={"zipmap": zipped})
    victim = load_graph(path, flat=SHAPE)
    taps = find_taps(victim)
    assert input_of(victim)[1:] == (SHAPE, "NHWC")
    assert dict(taps.stages) == {}
    data = FitData({"penultimate": IMAGES.reshape(80, -1)[:, :12]}, LABELS, 4, {})
    fused = graph_bytes(fuse(victim, taps, {d: DETECTORS.get(d)().fit(data) for d in sorted(detectors)}))
    assert check_parity(path, taps, fused, IMAGES) <= 1e-5
    found = run(fused, IMAGES)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(IMAGES.reshape(80, -1)), atol=1e-4)
    assert found["scores"].shape == (80, len(detectors))
    assert np.isfinite(found["scores"]).all()


def test_flattened_images_are_refused_with_the_option_that_says_their_shape(tmp_path: Path) -> None:
    path = convert(LogisticRegression(), tmp_path / "m.onnx")
    with pytest.raises(GraphError, match=r"flattened images; say what shape they have.*--input-shape 32,32,3"):
        load_graph(path)
    with pytest.raises(GraphError, match="takes 90 numbers an image, and 6 x 6 x 3 are 108; they must agree"):
        load_graph(path, flat=(6, 6, 3))


def test_opset_that_the_converter_takes_by_itself_is_refused_with_the_one_to_ask_for(tmp_path: Path) -> None:
    path = convert(LogisticRegression(), tmp_path / "m.onnx", target_opset=9)
    with pytest.raises(GraphError, match=r"opset 9; 13 to .* are read.*target_opset=18"):
        load_graph(path, flat=SHAPE)


def test_shape_is_not_for_a_graph_that_takes_images(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 4, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(GraphError, match="an input shape is for graphs that take flattened images"):
        load_graph(tmp_path / "m.onnx", flat=(3, 4, 4))
