"""Victims that something else than PyTorch wrote: channels last, probabilities at the end."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from exporters.fuse import fuse
from exporters.graph import graph_bytes, input_of, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.detectors.energy import Energy

PYTHON = "KNOCKGUARD_TENSORFLOW_PYTHON"
SCRIPT = Path(__file__).with_name("keras_victim.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (python := os.environ.get(PYTHON)):
        pytest.skip(f"{PYTHON} names no Python with tensorflow-cpu and tf2onnx; tests/exporters/make_peers.sh makes one")
    made = tmp_path_factory.mktemp("keras")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([python, "-W", "ignore", SCRIPT, made], check=True, capture_output=True, env=clean, timeout=200)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["tf2onnx", "keras"])
def test_network_of_keras_has_its_taps_and_answers_as_before(folder: Path, writer: str) -> None:
    path = folder / f"{writer}.onnx"
    model = load_graph(path)
    taps = find_taps(model)
    assert input_of(model) == ("image", (32, 32, 3), "NHWC")
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(8, 32, 32), (12, 16, 16), (16, 8, 8)]
    assert taps.shapes[taps.penultimate][1] == 16
    assert taps.logits is not None
    fused = graph_bytes(fuse(model, taps, {"energy": Energy().fit(None)}))
    images = np.random.default_rng(0).random((6, 32, 32, 3), dtype=np.float32)
    assert check_parity(path, taps, fused, images) <= 1e-5
    assert run(fused, images)["probabilities"].std(axis=0).max() > 1e-3, "answers that are all alike agree with anything"
