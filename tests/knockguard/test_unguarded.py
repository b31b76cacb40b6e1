"""The bundle of an experiment without a detector: the victim's own answers, and nothing is flagged."""

from pathlib import Path

import numpy as np
from miniature import Miniature, stripes

from exporters.graph import load_graph
from exporters.runtime import run
from exporters.taps import find_taps
from guard.bundle import InputSpec, load_bundle
from guard.preprocess import to_inputs
from knockguard.protect import Plan
from knockguard.unguarded import unguarded

SPEC = InputSpec(name="image", shape=(3, 24, 24), layout="NCHW", scale=1 / 255)


def test_unguarded_victim_answers_as_it_did_and_flags_nothing(miniature: Miniature, tmp_path: Path) -> None:
    graph = load_graph(miniature.onnx)
    plan = Plan(SPEC, "victim", ("red", "green", "blue"))
    unguarded(graph, find_taps(graph), plan, miniature.test, original=miniature.onnx).write(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    images = np.concatenate([miniature.test, stripes(60, seed=5), np.zeros((1, 24, 24, 3), np.uint8)])
    found = run(bundle.model, to_inputs(images, SPEC), outputs=("scores", "probabilities"))
    np.testing.assert_array_equal(found["probabilities"][:90].argmax(axis=1), miniature.logits.argmax(axis=1))
    [detector] = bundle.manifest.detectors
    assert not detector.threshold.flags(found["scores"][:, 0]).any()
