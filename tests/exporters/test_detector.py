"""A bundle of detectors alone: the same scores, nothing of what only the answer needs, and still a whole bundle."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_bundle import rows_of, tiny_manifest, tiny_model

from exporters.detector import detector_bundle
from exporters.runtime import run
from guard.bundle import Bundle, load_bundle, write_bundle
from guard.errors import ExportError

BUNDLE = Bundle(tiny_manifest(model=tiny_model()), tiny_model())


def test_scores_are_the_same_and_the_answers_layers_are_gone(tmp_path: Path) -> None:
    detector = detector_bundle(BUNDLE)
    images = np.concatenate([rows_of(0.1), rows_of(0.9)])
    assert run(detector.model, images).keys() == {"scores"}
    np.testing.assert_array_equal(run(detector.model, images)["scores"], run(BUNDLE.model, images)["scores"])
    left = {i.name for i in onnx.load_model_from_string(detector.model).graph.initializer}
    assert "weight" in left
    assert "eight" not in left  # what the logits are multiplied with
    write_bundle(tmp_path / "bundle", manifest=detector.manifest, model=detector.model)
    assert load_bundle(tmp_path / "bundle") == detector


def test_graph_without_scores_is_refused() -> None:
    model = onnx.load_model_from_string(BUNDLE.model)
    del model.graph.output[1]
    with pytest.raises(ExportError, match="no output 'scores'"):
        detector_bundle(Bundle(BUNDLE.manifest, model.SerializeToString()))
