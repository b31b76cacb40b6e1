"""The fused graph is held to the victim's own file."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from endings import LAST, RESHAPED, ending
from onnx import TensorProto, helper, numpy_helper

from exporters.fuse import fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import PARITY, PARITY_HALF, PARITY_QUANTISED, check_parity, distance_to_passed_over, tolerance_of
from exporters.taps import find_taps
from guard.detectors.msp import Msp
from guard.errors import ParityError

IMAGES = np.random.default_rng(2).random((7, 3, 8, 8), dtype=np.float32)


def fused(model, taps):
    return graph_bytes(fuse(model, taps, {"msp": Msp().fit(None)}))


@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_file_is_run_as_it_was_written_whatever_its_batch(tmp_path, batch):
    path = ending(tmp_path, [("Softmax", {"axis": 1}), ("Reshape", {}, RESHAPED)], batch=batch)
    model = load_graph(path)
    taps = find_taps(model)
    assert check_parity(path, taps, fused(model, taps), IMAGES) <= 1e-6


def test_softmax_taken_twice_is_found_by_output_and_amount(tmp_path):
    path = ending(tmp_path, [("Softmax", {"axis": 1}), ("Clip", {}, np.float32(0), np.float32(1))])
    model = load_graph(path)
    taps = find_taps(model)
    twice = fused(model, replace(taps, logits="y", probabilities=None))
    with pytest.raises(ParityError, match=r"from output 'y' of victim.onnx by \d\.\d\de-01 on 7 images; at most 1e-05"):
        check_parity(path, taps, twice, IMAGES)


@pytest.mark.parametrize(
    ("nodes", "named", "least"),
    [
        ([("Identity", {})], {"logits": LAST}, 0.0),  # the same values by another name
        ([("Mul", {}, np.float32(3)), ("Div", {}, np.float32(3))], {"logits": LAST}, 0.0),  # but for rounding
        ([("Sigmoid", {})], {"logits": LAST}, 0.1),
        ([("Mul", {}, np.float32(-1))], {"logits": LAST}, 0.1),
        ([("Softmax", {"axis": 1}), ("Mul", {}, np.float32(100))], {"probabilities": "tensor0"}, 0.1),
        ([("Softmax", {"axis": 1}), ("Gather", {"axis": 1}, np.array([0, 1]))], {"probabilities": "tensor0"}, None),
    ],
)
def test_output_that_was_passed_over_is_compared_with_what_the_bundle_answers(tmp_path, nodes, named, least):
    path = ending(tmp_path, nodes)
    model = load_graph(path)
    taps = find_taps(model, override=named)
    assert taps.passed_over == "y"
    found = distance_to_passed_over(path, taps, fused(model, taps), np.abs(IMAGES))
    assert found == least if not least else found > least


def test_changed_weight_is_found(tmp_path):
    path = ending(tmp_path, [])
    model = load_graph(path)
    taps = find_taps(model)
    weight = next(i for i in model.graph.initializer if i.name == "b")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32([1, -1, 1, -1]), "b"))
    with pytest.raises(ParityError, match=f"from the softmax of output '{LAST}' of victim.onnx by"):
        check_parity(path, taps, fused(model, taps), IMAGES)


def test_not_a_number_is_no_parity(tmp_path):
    path = ending(tmp_path, [("Log", {}), ("Mul", {}, np.float32(1))])
    model = load_graph(path)
    taps = find_taps(model)
    with pytest.raises(ParityError, match="by nan"):
        check_parity(path, taps, fused(model, taps), -IMAGES)


def test_tolerance_follows_the_precision_that_the_victim_computes_in(tmp_path):
    model = onnx.load(ending(tmp_path, []))
    assert tolerance_of(model) == PARITY == 1e-5
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float16), "half"))
    model.graph.node.append(helper.make_node("Cast", ["half"], ["stored"], to=TensorProto.FLOAT))
    assert tolerance_of(model) == PARITY, "weights that are only stored so"
    for weight in (w for w in model.graph.initializer if w.name in "wb"):
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
    dense = next(node for node in model.graph.node if node.op_type == "Gemm")
    model.graph.node.insert(2, helper.make_node("Cast", ["flat"], ["half_flat"], to=TensorProto.FLOAT16))
    dense.input[0], dense.output[0] = "half_flat", "half_dense"
    model.graph.node.append(helper.make_node("Cast", ["half_dense"], [LAST], to=TensorProto.FLOAT))
    assert tolerance_of(model) == PARITY_HALF
    model.graph.node.append(helper.make_node("QLinearConv", ["q"], ["f"]))
    assert tolerance_of(model) == PARITY_QUANTISED
