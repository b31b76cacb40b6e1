"""Victim and heads in one graph."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes, load_graph
from exporters.runtime import open_session, run
from exporters.taps import find_taps
from guard.detectors.energy import Energy
from guard.detectors.head import HeadBuilder
from guard.errors import GraphError

VICTIMS = ["small_path", "resnet_path", "plain_resnet_path"]


@pytest.fixture(params=VICTIMS, scope="module")
def victim(request, images, resnet_images):
    """(model, taps, images) of each victim."""
    model = load_graph(request.getfixturevalue(request.param))
    return model, find_taps(model), images if request.param == "small_path" else resnet_images


@pytest.fixture(scope="module")
def heads(victim, fitted_heads):
    """Linear, energy and msp, fitted."""
    return fitted_heads(*victim)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_fused_answers_are_the_unfused_ones(victim, heads):
    model, taps, inputs = victim
    plain = softmax(run(graph_bytes(model), inputs, outputs=[taps.logits])[taps.logits].astype(np.float64))
    fused = run(graph_bytes(fuse(model, taps, heads)), inputs)
    assert list(fused) == ["probabilities", "scores"]
    assert {a.dtype for a in fused.values()} == {np.dtype(np.float32)}
    assert np.abs(fused["probabilities"] - plain).max() <= 1e-5


def test_scores_are_what_each_head_says_alone(victim, heads):
    model, taps, inputs = victim
    together = run(graph_bytes(fuse(model, taps, heads)), inputs)["scores"]
    assert together.shape == (len(inputs), 3)
    for column, (name, head) in enumerate(heads.items()):
        alone = run(graph_bytes(fuse(model, taps, {name: head})), inputs)["scores"]
        np.testing.assert_allclose(together[:, [column]], alone, rtol=1e-5, atol=1e-5)


def test_columns_follow_the_mapping(victim, heads):
    model, taps, inputs = victim
    features = run(graph_bytes(feature_graph(model, taps)), inputs)
    reversed_heads = dict(reversed(heads.items()))
    scores = run(graph_bytes(fuse(model, taps, reversed_heads)), inputs)["scores"]
    assert list(reversed_heads) == ["msp", "energy", "linear"]
    np.testing.assert_allclose(scores[:, 0], -features["probabilities"].max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(scores[:, 1], -np.log(np.exp(features["logits"]).sum(axis=1)), rtol=1e-4, atol=1e-5)
    weights, bias = heads["linear"].constants.values()
    stages = np.concatenate([features[s] for s in taps.stages], axis=1)
    np.testing.assert_allclose(scores[:, 2], (stages @ weights + bias)[:, 0], rtol=1e-3, atol=1e-3)


def test_no_row_one_row_and_many_rows_work(victim, heads):
    model, taps, inputs = victim
    session = open_session(graph_bytes(fuse(model, taps, heads)))
    name = session.get_inputs()[0].name
    _, many = session.run(None, {name: inputs})
    for row in range(3):
        _, one = session.run(None, {name: inputs[row : row + 1]})
        np.testing.assert_allclose(one, many[row : row + 1], rtol=1e-4, atol=1e-4)
    probabilities, scores = session.run(None, {name: inputs[:0]})
    assert (probabilities.shape, scores.shape) == ((0, taps.n_classes), (0, 3))


def test_outputs_are_described_with_a_free_batch(victim, heads):
    model, taps, _ = victim
    fused = fuse(model, taps, heads)
    onnx.checker.check_model(fused, full_check=True)
    shapes = {o.name: o.shape for o in open_session(graph_bytes(fused)).get_outputs()}
    assert shapes == {"probabilities": ["n", taps.n_classes], "scores": ["n", 3]}


def test_features_are_what_heads_read(victim):
    model, taps, inputs = victim
    features = run(graph_bytes(feature_graph(model, taps)), inputs)
    assert set(features) == {"probabilities", "logits", "penultimate", *taps.stages}
    assert all(features[s].shape == (len(inputs), 2 * taps.shapes[t][1]) for s, t in taps.stages.items())
    np.testing.assert_allclose(features["probabilities"].sum(axis=1), 1, atol=1e-5)
    # No rows, and rows apart, as heads will meet them.
    assert run(graph_bytes(feature_graph(model, taps)), inputs[:0])["stage1"].shape == (0, features["stage1"].shape[1])


def test_fused_graph_says_nothing_of_the_machine(victim, heads):
    original, taps, _ = victim
    model = onnx.ModelProto()
    model.CopyFrom(original)
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "/home/somebody/train.py"
    model.metadata_props.add(key="path", value="/home/somebody")
    model.graph.node[0].metadata_props.add(key="stack", value="/home/somebody")
    model.graph.initializer[0].doc_string = "/home/somebody"
    fused = fuse(model, taps, heads)
    data = graph_bytes(fused)
    for word in (b"/home/somebody", b"site-packages", b"pkg.torch", b"conftest.py"):
        assert word not in data
    assert not fused.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in fused.graph.node)


def test_victim_is_not_changed(victim, heads):
    model, taps, _ = victim
    before = graph_bytes(model)
    fuse(model, taps, heads)
    assert graph_bytes(model) == before


def test_dead_nodes_of_dropped_outputs_are_gone(small_path):
    model = load_graph(small_path)
    model.graph.node.add(op_type="Exp", input=["stage1"], output=["unused"])
    model.graph.output.append(helper.make_tensor_value_info("unused", TensorProto.FLOAT, None))
    fused = fuse(model, find_taps(model), {"energy": Energy().fit(None)})
    made = {o for n in fused.graph.node for o in n.output}
    assert "unused" not in made
    # Energy alone reads no stage: nothing of the pooling stays either.
    assert sum(n.op_type == "GlobalAveragePool" for n in fused.graph.node) == 0


def test_fusing_twice_is_refused(small_path):
    model = load_graph(small_path)
    taps = find_taps(model)
    fused = fuse(model, taps, {"energy": Energy().fit(None)})
    with pytest.raises(GraphError, match="protected already"):
        find_taps(fused)
    with pytest.raises(GraphError, match="protected already"):
        fuse(fused, taps, {"energy": Energy().fit(None)})


def test_no_head_is_refused(small_path):
    model = load_graph(small_path)
    with pytest.raises(GraphError, match="no head to fuse"):
        fuse(model, find_taps(model), {})


def test_head_on_a_tap_that_is_missing_is_refused(small_path):
    model = load_graph(small_path)
    g = HeadBuilder()
    head = g.head(score=g.reduce_max(g.tap("stage9"), axis=1))
    with pytest.raises(GraphError, match="reads 'stage9', which the graph does not have; did you mean 'stage"):
        fuse(model, find_taps(model), {"odd": head})


def test_score_that_is_no_column_is_refused(small_path):
    model = load_graph(small_path)
    g = HeadBuilder()
    head = g.head(score=g.exp(g.tap("logits")))
    with pytest.raises(GraphError, match=r"scores would have shape .*; it must be \(n, d\), and a head's score \(n,\)"):
        fuse(model, find_taps(model), {"odd": head})


def test_input_called_as_an_output_of_ours_is_refused(small_path):
    model = load_graph(small_path)
    model.graph.input[0].name = "scores"
    for node in model.graph.node:
        node.input[:] = ["scores" if name == "image" else name for name in node.input]
    with pytest.raises(GraphError, match="input is called 'scores'"):
        feature_graph(model, find_taps(model))


def test_victim_that_ends_in_softmax_is_fused(tmp_path, small_cnn, export_plainly, images):
    module = torch.nn.Sequential(small_cnn, torch.nn.Softmax(dim=1)).eval()
    model = load_graph(export_plainly(module, tmp_path / "m.onnx", images[:1], output_names=["probabilities"]))
    taps = find_taps(model)
    fused = run(graph_bytes(fuse(model, taps, {"energy": Energy().fit(None)})), images)
    with torch.no_grad():
        logits = small_cnn(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(fused["probabilities"], softmax(logits), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fused["scores"][:, 0], -np.log(np.exp(logits).sum(axis=1)), rtol=1e-4, atol=1e-5)
