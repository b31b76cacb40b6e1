"""Every opset that the newest `onnx` and ONNX Runtime both know."""

import numpy as np
import onnx
import pytest
from endings import ending

from exporters.fuse import feature_graph, fuse
from exporters.graph import MIN_OPSET, graph_bytes, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.detectors.base import FitData
from guard.detectors.registry import DETECTORS

NEWEST_RUN = 26  # ONNX Runtime's, where `onnx` is ahead of it
OPSETS = range(MIN_OPSET, min(NEWEST_RUN, onnx.defs.onnx_opset_version()) + 1)
IMAGES = np.random.default_rng(3).random((60, 3, 8, 8), dtype=np.float32)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("end", [[], [("Softmax", {"axis": 1})]], ids=["logits", "softmax"])
def test_heads_are_lowered_onto_a_graph_of_any_opset(tmp_path, opset, end):
    path = ending(tmp_path, end)
    model = onnx.load(path)
    model.opset_import[0].version = opset  # of what the victim uses, nothing changed in between
    path.write_bytes(model.SerializeToString())
    victim = load_graph(path)
    taps = find_taps(victim)
    features = run(graph_bytes(feature_graph(victim, taps)), IMAGES)
    data = FitData(features, np.arange(60) % 4, 4, {k: v + 0.1 for k, v in features.items()})
    # Three features are too few for ViM, and a network of a detector's own has opsets to itself (test_branch.py).
    names = [n for n in DETECTORS if not {"stages", "network"} & set(DETECTORS.get(n).taps) and n != "vim"]
    fused = graph_bytes(fuse(victim, taps, {name: DETECTORS.get(name)().fit(data) for name in names}))
    assert check_parity(path, taps, fused, IMAGES) <= 1e-5
    scores = run(fused, IMAGES)["scores"]
    assert scores.shape == (60, len(names))
    assert np.isfinite(scores).all()
