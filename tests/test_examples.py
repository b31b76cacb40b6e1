"""The examples run as their first lines say."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from guard.bundle import DetectorSpec, InputSpec, Manifest, PolicySpec, Provenance, write_bundle
from guard.calibration import Threshold

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose victim names the strongest colour, and whose detector flags what is bright: that gets its label alone."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colours"]),
        helper.make_node("Softmax", ["colours"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["colours"], ["scores"], axes=[1], keepdims=1),
    ]
    ends = [("image", ["n", 3, 8, 8]), ("probabilities", ["n", 3]), ("scores", ["n", 1])]
    first, *rest = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
    graph = helper.make_graph(nodes, "colours", [first], rest)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    manifest = Manifest(
        format_version=1,
        name="colours",
        version="1",
        model="model.onnx",
        sha256=sha256(content).hexdigest(),
        input=InputSpec(name="image", shape=(3, 8, 8), layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=("red", "green", "blue"),
        detectors=(DetectorSpec(name="brightness", threshold=Threshold(0.5, 0.05, 0.99, 500, 0.03), quantiles=(0.25,) * 19),),
        detector="brightness",
        policy=PolicySpec(name="label-only"),
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )
    write_bundle(tmp_path / "bundle", manifest=manifest, model=content)
    return tmp_path / "bundle"


def picture(path: Path, colour: tuple[int, int, int]) -> str:
    Image.fromarray(np.full((20, 30, 3), colour, dtype=np.uint8)).save(path)
    return str(path)


def test_in_process_gives_what_the_bundles_policy_lets_out(bundle: Path, tmp_path: Path) -> None:
    names = [picture(tmp_path / "dim.png", (200, 10, 10)), picture(tmp_path / "bright.png", (200, 200, 255))]
    done = subprocess.run(
        [sys.executable, EXAMPLES / "in_process.py", bundle, *names], capture_output=True, text=True, check=True
    )
    dim, bright = done.stdout.splitlines()
    assert "dim.png: red 0." in dim
    assert bright.endswith("bright.png: blue 1.000")


@pytest.fixture
def address(bundle: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a gateway that serves the bundle, in a process of its own."""
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "knockguard", "serve", bundle, "--port", "0", "--metrics-port", "0", "--ready-file", ready]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as gateway:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists() and gateway.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert ready.exists(), "the gateway did not get ready"
            yield f"127.0.0.1:{json.loads(ready.read_text())['port']}"
        finally:
            gateway.terminate()
            gateway.communicate(timeout=30)


def test_query_asks_a_real_gateway(address: str, tmp_path: Path) -> None:
    names = [picture(tmp_path / "dim.png", (200, 10, 10)), picture(tmp_path / "bright.png", (200, 200, 255))]
    command = [sys.executable, EXAMPLES / "query.py", address, "colours", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    dim, bright = done.stdout.splitlines()
    assert "dim.png: class 0 0." in dim
    assert bright.endswith("bright.png: class 2 1.000")


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_called_without_arguments_an_example_says_how(name: str) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"python examples/{name}" in done.stderr
