"""Which tensors are the answer, and what is refused rather than guessed."""

import numpy as np
import onnx
import pytest
from endings import LAST, N_CLASSES, RESHAPED, ending, softmax

from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.detectors.energy import Energy
from guard.detectors.msp import Msp
from guard.errors import GraphError

IMAGES = np.random.default_rng(1).random((5, 3, 8, 8), dtype=np.float32)
# Ends behind a Softmax over the classes; all of them are probabilities.
PASSED_ON = {
    "nothing": [],
    "Identity": [("Identity", {})],
    "Cast": [("Cast", {"to": onnx.TensorProto.FLOAT})],
    "half and back": [("Cast", {"to": onnx.TensorProto.FLOAT16}), ("Cast", {"to": onnx.TensorProto.FLOAT})],
    "half": [("Cast", {"to": onnx.TensorProto.FLOAT16})],
    "Clip": [("Clip", {}, np.float32(1e-7), np.float32(1 - 1e-7))],
    "Reshape": [("Reshape", {}, RESHAPED)],
    "Flatten": [("Flatten", {"axis": 1})],
    "Unsqueeze, Squeeze": [("Unsqueeze", {}, np.array([2])), ("Squeeze", {}, np.array([2]))],
    "Clip, Reshape": [("Clip", {}, np.float32(1e-7), np.float32(1 - 1e-7)), ("Reshape", {}, RESHAPED)],
}


def answers(path, override=None):
    """What the file says, and what victim and heads in one graph say."""
    model = load_graph(path)
    taps = find_taps(model, override=override)
    fused = graph_bytes(fuse(model, taps, {"energy": Energy().fit(None)} if taps.logits else {"msp": Msp().fit(None)}))
    check_parity(path, taps, fused, IMAGES)
    (theirs,) = run(path.read_bytes(), IMAGES).values()
    return taps, theirs, run(fused, IMAGES)


@pytest.mark.parametrize("behind", PASSED_ON)
def test_softmax_is_seen_through_what_only_passes_it_on(tmp_path, behind):
    path = ending(tmp_path, [("Softmax", {"axis": 1}), *PASSED_ON[behind]])
    taps, theirs, fused = answers(path)
    assert (taps.probabilities, taps.logits) == ("y", LAST)
    assert taps.answer == "y"
    np.testing.assert_allclose(fused["probabilities"], theirs, atol=1e-5 if "half" not in behind else 2e-3, rtol=0)
    logits = run(graph_bytes(feature_graph(load_graph(path), taps)), IMAGES)["logits"]
    np.testing.assert_allclose(fused["scores"][:, 0], -np.log(np.exp(logits).sum(axis=1)), rtol=1e-5)
    assert fused["probabilities"].dtype == np.float32


@pytest.mark.parametrize("nodes", [[("LogSoftmax", {"axis": -1}), ("Identity", {})], [("Softmax", {"axis": 1}), ("Log", {})]])
def test_log_probabilities_are_answered_as_probabilities_and_energy_reads_the_logits(tmp_path, nodes):
    taps, theirs, fused = answers(ending(tmp_path, nodes))
    assert (taps.probabilities, taps.logits, taps.answer) == (None, LAST, "y")
    np.testing.assert_allclose(fused["probabilities"], np.exp(theirs), atol=1e-5)
    assert np.abs(fused["scores"]).min() > 1e-3, "the energy of log-probabilities is 0 for every image"


def test_softmax_over_a_convolutions_classes_is_flattened(tmp_path):
    """SqueezeNet, as the model zoo has it: (n, k, 1, 1) until the last node."""
    path = ending(
        tmp_path, [("Reshape", {}, np.array([-1, N_CLASSES, 1, 1])), ("Softmax", {"axis": 1}), ("Flatten", {"axis": 1})]
    )
    taps, theirs, fused = answers(path)
    assert taps.n_classes == N_CLASSES
    assert len(taps.shapes[taps.logits]) == 4
    np.testing.assert_allclose(fused["probabilities"], theirs, atol=1e-6)


def test_plain_end_is_logits(tmp_path):
    taps, theirs, fused = answers(ending(tmp_path, [("Mul", {}, np.float32(0.5))]))
    assert (taps.probabilities, taps.logits, taps.answer) == (None, "y", "y")
    np.testing.assert_allclose(fused["probabilities"], softmax(theirs), atol=1e-6)


BY_HAND = [("Exp", {}), ("ReduceSum", {"keepdims": 1}, np.array([1])), ("Div", {}, -2, -1)]  # -2: the node before
SOFTMAX = ("Softmax", {"axis": 1})
TWICE = r"--stage probabilities=tensor0, or --stage logits=y"  # what is said where softmax would be taken a second time
FIRST_THREE = (np.array([0]), np.array([3]), np.array([1]))
REFUSED = {
    "softmax by hand": (BY_HAND, r"would be taken for logits, .* sum to 1, .*--stage probabilities=y, or --stage logits=y"),
    "sigmoid": ([("Sigmoid", {})], rf"'y' is made by Sigmoid: a yes or no for each class.*--stage logits={LAST}"),
    "sigmoid, clipped": ([("Sigmoid", {}), ("Clip", {}, np.float32(0.1))], "is made by Sigmoid"),
    "sigmoid, some classes": ([("Sigmoid", {}), ("Slice", {}, *FIRST_THREE)], "is made by Sigmoid"),
    "hard sigmoid": ([("HardSigmoid", {})], "is made by HardSigmoid"),
    "sigmoid by hand": (
        [("Neg", {}), ("Exp", {}), ("Add", {}, np.float32(1)), ("Reciprocal", {})],
        r"lie between 0 and 1 whatever the image.*--stage logits=y",
    ),
    "softmax over the batch": ([("Softmax", {"axis": 0})], "Softmax over another axis"),
    "minus log-probabilities": ([("LogSoftmax", {"axis": 1}), ("Neg", {})], rf"LogSoftmax .* by Neg.*--stage logits={LAST}"),
    **{
        f"softmax, {name}": ([SOFTMAX, *nodes], f"is a Softmax and then altered by {last}.*{TWICE}")
        for name, nodes, last in (
            ("percent", [("Mul", {}, np.float32(100))], "Mul"),
            ("some classes", [("Slice", {}, *FIRST_THREE)], "Slice"),
            ("other order", [("Gather", {"axis": 1}, np.array([2, 0, 1]))], "Gather"),
            ("floor", [("Max", {}, np.float32(1e-6))], "Max"),
            ("the rest", [("Sub", {}, np.float32(0.05)), ("Relu", {})], "Relu"),
            ("minus its log", [("Log", {}), ("Neg", {})], "Neg"),
            ("small ones set to 0", [("Less", {}, np.float32(0.01)), ("Where", {}, -1, np.float32(0), -2)], "Where"),
            ("with itself", [("Add", {}, -1, -1)], "Add"),
            ("beside itself", [("Concat", {"axis": 1}, -1, -1)], "Concat"),
        )
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_end_that_is_neither_is_refused_with_what_to_say(tmp_path, case):
    nodes, message = REFUSED[case]
    model = onnx.load(ending(tmp_path, nodes))  # unread: a softmax over the batch mixes rows, which reading refuses already
    with pytest.raises(GraphError, match=message):
        find_taps(model)


def test_caller_who_says_probabilities_is_believed_where_the_values_agree(tmp_path):
    taps, theirs, fused = answers(ending(tmp_path, BY_HAND), override={"probabilities": "y"})
    assert (taps.logits, taps.probabilities) == (None, "y")
    np.testing.assert_allclose(fused["probabilities"], theirs, atol=1e-6)


def test_caller_who_says_logits_has_softmax_taken_of_them(tmp_path):
    taps, theirs, fused = answers(ending(tmp_path, BY_HAND), override={"logits": "y"})
    assert (taps.logits, taps.probabilities) == ("y", None)
    np.testing.assert_allclose(fused["probabilities"], softmax(theirs), atol=1e-6)


def test_tensor_before_a_sigmoid_can_be_named_and_is_what_the_file_is_held_to(tmp_path):
    taps, theirs, fused = answers(ending(tmp_path, [("Sigmoid", {})]), override={"logits": LAST})
    assert (taps.answer, taps.passed_over) == (LAST, "y")
    np.testing.assert_allclose(fused["probabilities"], softmax(np.log(theirs / (1 - theirs))), atol=1e-5)


@pytest.mark.parametrize("logits", [LAST, "tensor0", "y"])
def test_whatever_is_named_as_logits_the_files_own_distribution_stays_the_answer(tmp_path, logits):
    path = ending(tmp_path, [("Mul", {}, np.float32(0.2)), ("Softmax", {"axis": 1})])
    taps, theirs, fused = answers(path, override={"logits": logits})
    assert (taps.logits, taps.probabilities, taps.answer, taps.passed_over) == (logits, "y", "y", None)
    np.testing.assert_allclose(fused["probabilities"], theirs, atol=1e-6)


@pytest.mark.parametrize("nodes", [[], [("Sigmoid", {})]], ids=["logits", "sigmoid"])
def test_probabilities_that_do_not_sum_to_one_are_refused_whoever_calls_them_so(tmp_path, nodes):
    path = ending(tmp_path, [*nodes, ("Identity", {})], name="probabilities")
    for override in (None, {"probabilities": "probabilities"}):
        with pytest.raises(
            GraphError, match=r"rows sum to .* they must be at least 0 and sum to 1.*--stage logits=probabilities"
        ):
            find_taps(load_graph(path), override=override)


def test_output_that_is_called_logits_and_holds_probabilities_is_taken_for_them(tmp_path):
    taps, theirs, fused = answers(ending(tmp_path, [("Softmax", {"axis": 1})], name="logits"))
    assert (taps.probabilities, taps.logits) == ("logits", LAST)
    np.testing.assert_allclose(fused["probabilities"], theirs, atol=1e-6)


def test_single_class_is_no_classifier(tmp_path):
    path = ending(tmp_path, [("ReduceSum", {"keepdims": 1}, np.array([1]))])
    with pytest.raises(GraphError, match="has 1 classes; a classifier has at least 2"):
        find_taps(load_graph(path))
