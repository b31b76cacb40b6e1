"""A bundle small enough to read: three colours, bright images are out. For tests that need one, whatever it says."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Provenance, write_bundle
from guard.calibration import Threshold

SHAPE = (3, 4, 4)
LABELS = ("red", "green", "blue")


def tiny_model() -> bytes:
    """Probabilities (n, 3): softmax of the channel means times 8. Scores (n, 1): the mean of all values times a weight of 1."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Mul", ["means", "eight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["means"], ["brightness"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["brightness", "weight"], ["scores"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [info("image", TensorProto.FLOAT, ["n", *SHAPE])],
        [info("probabilities", TensorProto.FLOAT, ["n", 3]), info("scores", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("eight", 8.0), ("weight", 1.0))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def tiny_manifest(*, name: str = "tiny", version: str = "3", model: bytes) -> Manifest:
    """Flags what is brighter than a half; at most one honest row in twenty."""
    return Manifest(
        format_version=1,
        name=name,
        version=version,
        model="model.onnx",
        sha256=sha256(model).hexdigest(),
        input=InputSpec(name="image", shape=SHAPE, layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=LABELS,
        detectors=(DetectorSpec(name="linear", threshold=Threshold(0.5, 0.05, 0.99, 500, 0.03), quantiles=QUANTILES),),
        detector="linear",
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )


def write_tiny(folder: Path, **manifest: str) -> Path:
    model = tiny_model()
    write_bundle(folder, manifest=tiny_manifest(model=model, **manifest), model=model)
    return folder


def rows_of(level: float, n: int = 1) -> np.ndarray:
    """Return (n, 3, 4, 4) float32 of one level; above .5 they are flagged."""
    return np.full((n, *SHAPE), level, np.float32) * np.array([1.0, 0.9, 0.8], np.float32).reshape(1, 3, 1, 1)
