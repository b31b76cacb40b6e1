"""A tiny bundle, and real gateways that serve it: one in a process of its own, one in this process."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Provenance, write_bundle
from guard.calibration import Threshold

SHAPE = (3, 4, 4)
LABELS = ("red", "green", "blue")


def tiny_model() -> bytes:
    """Probabilities: softmax of the channel means times 8. Scores: the mean of all values, so bright images are out."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Mul", ["means", "eight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["means"], ["scores"], axes=[1], keepdims=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [info("image", TensorProto.FLOAT, ["n", *SHAPE])],
        [info("probabilities", TensorProto.FLOAT, ["n", 3]), info("scores", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array(8.0, np.float32), "eight")],
    )
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def write_tiny(folder: Path, *, model: bytes | None = None) -> Path:
    content = tiny_model() if model is None else model
    manifest = Manifest(
        format_version=1,
        name="tiny",
        version="3",
        model="model.onnx",
        sha256=sha256(content).hexdigest(),
        input=InputSpec(name="image", shape=SHAPE, layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=LABELS,
        detectors=(DetectorSpec(name="linear", threshold=Threshold(0.5, 0.05, 0.99, 500, 0.03), quantiles=QUANTILES),),
        detector="linear",
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )
    write_bundle(folder, manifest=manifest, model=content)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


@dataclass
class Served:
    """A gateway process and where it listens."""

    process: subprocess.Popen[str]
    address: str
    metrics_url: str
    ready_file: Path


def serving(bundle: Path, folder: Path, *arguments: str | Path) -> AbstractContextManager[Served]:
    """A gateway started as people start it."""
    ready = folder / f"ready-{time.monotonic_ns()}.json"
    command = [sys.executable, "-m", "knockguard", "serve", str(bundle), "--port", "0", "--metrics-port", "0"]
    return running([*command, "--ready-file", str(ready), *map(str, arguments)], ready)


RUN = """import json, sys
from grpc_api.server import run_gateway
from grpc_api.settings import GatewaySettings
sys.exit(run_gateway(GatewaySettings.of(json.loads(sys.argv[1]))))"""


def serving_with(bundle: Path, folder: Path, **settings: object) -> AbstractContextManager[Served]:
    """A gateway with settings that the command line does not have."""
    ready = folder / f"ready-{time.monotonic_ns()}.json"
    given = {"bundles": [str(bundle)], "port": 0, "metrics_port": 0, "ready_file": str(ready), **settings}
    return running([sys.executable, "-c", RUN, json.dumps(given)], ready)


@contextmanager
def running(command: list[str], ready: Path) -> Iterator[Served]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the gateway did not start: {process.communicate()[1]}")
            time.sleep(0.02)
        ports = json.loads(ready.read_text())
        yield Served(process, f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['metrics_port']}/metrics", ready)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    folder = tmp_path_factory.mktemp("ready")
    return lambda bundle, *arguments: serving(bundle, folder, *arguments)


@pytest.fixture(scope="session")
def start_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    folder = tmp_path_factory.mktemp("ready")
    return lambda bundle, **settings: serving_with(bundle, folder, **settings)


@pytest.fixture(scope="session")
def gateway(bundle: Path, start: Callable[..., object]) -> Iterator[Served]:
    """One gateway for all tests that change nothing of it: label-only on flagged rows."""
    with start(bundle, "--policy", "label-only") as served:
        yield served


def _images(level: float) -> Callable[[int], np.ndarray]:
    scale = np.array([1.0, 0.9, 0.8], np.float32).reshape(1, 3, 1, 1)
    return lambda n=1: np.full((n, *SHAPE), level, np.float32) * scale


@pytest.fixture(scope="session")
def bright() -> Callable[[int], np.ndarray]:
    """Images that are flagged: their mean is above .5."""
    return _images(0.95)


@pytest.fixture(scope="session")
def dark() -> Callable[[int], np.ndarray]:
    """Images that are not."""
    return _images(0.1)
