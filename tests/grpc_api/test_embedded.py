"""The embedded backend: a bundle whose graph and manifest differ is found when it is loaded."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from grpc_api.backends.embedded import CPU, Embedded
from guard.bundle import Bundle, load_bundle
from guard.errors import BundleError


def altered(bundle: Path, **changes: object) -> Bundle:
    loaded = load_bundle(bundle)
    return Bundle(loaded.manifest.model_copy(update=changes), loaded.model)


def fixed_batch(bundle: Path) -> Bundle:
    loaded = load_bundle(bundle)
    model = onnx.load_from_string(loaded.model)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4]))
    return Bundle(loaded.manifest, model.SerializeToString())


def test_rows_are_answered_on_the_cpu_when_told_so(bundle: Path) -> None:
    backend = Embedded(load_bundle(bundle), provider="cpu", threads=1)
    assert backend.provider == CPU
    probabilities, scores = backend.infer(np.full((5, 3, 4, 4), 0.5, np.float32))
    assert (probabilities.shape, scores.shape) == ((5, 3), (5, 1))
    np.testing.assert_allclose(probabilities, 1 / 3, atol=1e-6)


def test_graph_of_fixed_batch_size_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="does not answer two rows"):
        Embedded(fixed_batch(bundle))


def test_labels_and_probabilities_must_be_as_many(bundle: Path) -> None:
    with pytest.raises(BundleError, match="manifest has 2 labels and 1 detectors"):
        Embedded(altered(bundle, labels=("red", "green")))


def test_input_of_another_size_is_refused(bundle: Path) -> None:
    spec = load_bundle(bundle).manifest.input.model_copy(update={"shape": (3, 9, 9)})
    with pytest.raises(BundleError, match=r"does not answer two rows of shape \[3, 9, 9\]"):
        Embedded(altered(bundle, input=spec))


def test_input_of_another_name_is_refused(bundle: Path) -> None:
    spec = load_bundle(bundle).manifest.input.model_copy(update={"name": "pixels"})
    with pytest.raises(BundleError, match="needs \\['pixels'\\]"):
        Embedded(altered(bundle, input=spec))


def test_bytes_that_are_no_model_are_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="refuses the bundle's model"):
        Embedded(Bundle(load_bundle(bundle).manifest, b"no model"))
