"""Other servers, each in an environment of its own: tests/exporters/make_peers.sh makes them, and says what points us at them."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from exporters.mlserver import write_mlserver
from guard.bundle import Bundle

MLSERVER, KSERVE, TRITON = (f"KNOCKGUARD_{name}_PYTHON" for name in ("MLSERVER", "KSERVE", "TRITON"))
PROGRAMS = Path(__file__).parent / "peer_programs"
_START_S = 90.0


def python_of(variable: str, package: str) -> str:
    """Return the interpreter of another server's environment: none of them can share ours."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"{variable} names no Python with {package}; tests/exporters/make_peers.sh makes one")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def ready(client: InferenceServerClient) -> bool:
    try:
        return bool(client.is_model_ready("tiny"))
    except InferenceServerException:
        return False


@contextmanager
def mlserver(bundle: Bundle, folder: Path, *, expose_scores: bool = True) -> Iterator[str]:
    """Serve a bundle's exported repository in MLServer; yields the gRPC address."""
    python = python_of(MLSERVER, "mlserver onnxruntime")
    write_mlserver(folder, bundle, expose_scores=expose_scores)
    ports = mlserver_settings(folder)
    with running([str(Path(python).with_name("mlserver")), "start", "."], folder, ports["grpc_port"]) as address:
        yield address


def mlserver_settings(folder: Path) -> dict[str, int]:
    """Write settings.json: loopback, free ports, no workers of its own. Returns the ports."""
    ports = {f"{name}_port": free_port() for name in ("http", "grpc", "metrics")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    return ports


@contextmanager
def kserve(model: bytes, folder: Path) -> Iterator[str]:
    """Serve a model in KServe's own server; yields the gRPC address."""
    python = python_of(KSERVE, "kserve onnxruntime")
    with _program([python, str(PROGRAMS / "kserve_server.py")], model, folder) as address:
        yield address


@contextmanager
def triton(model: bytes, folder: Path) -> Iterator[str]:
    """Serve a model in Triton; yields the gRPC address."""
    python = python_of(TRITON, "nvidia-pytriton onnxruntime")
    # Its stub must load the very Python that runs it, not another of the same minor version.
    find = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    libraries = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    with _program([python, str(PROGRAMS / "triton_server.py")], model, folder, LD_LIBRARY_PATH=libraries) as address:
        yield address


@contextmanager
def _program(command: Sequence[str], model: bytes, folder: Path, **environment: str) -> Iterator[str]:
    (folder / "model.onnx").write_bytes(model)
    port = free_port()
    with running([*command, "model.onnx", str(free_port()), str(port)], folder, port, **environment) as address:
        yield address


@contextmanager
def running(command: Sequence[str], folder: Path, port: int, **environment: str) -> Iterator[str]:
    """Run a server until the block ends, and wait until it has loaded `tiny`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment  # it is not our Python
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=kept)
    try:
        address = f"127.0.0.1:{port}"
        with InferenceServerClient(address) as client:
            deadline = time.monotonic() + _START_S
            while not ready(client) and server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            assert ready(client), (folder / "log").read_text(errors="replace")[-2000:]
        yield address
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
