"""The gateway against Seldon's MLServer: the same model, the same client, one process each, in one run.

    KNOCKGUARD_MLSERVER_PYTHON=.../bin/python python benchmarks/mlserver.py [--out TABLE.md]

MLServer needs an environment of its own; `tests/exporters/make_peers.sh FOLDER` makes one and prints the variable. It serves
the repository that `exporters.mlserver` writes, in its main process (`parallel_workers` 0, the faster way for one model
here) and without adaptive batching unless --batching is given. One row a request, float32, since MLServer takes pixels no
other way. The last columns hold the plainest server that Python's gRPC allows (`plain_upstream.py`) against MLServer: what no
gateway in Python can pass.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
from load import Load
from proxying import plain_upstream
from ratios import Table, arguments, compare
from victims import made_up

from exporters.mlserver import SETTINGS, write_mlserver
from guard.bundle import load_bundle
from knockguard.gateway_process import gateway

VARIABLE = "KNOCKGUARD_MLSERVER_PYTHON"
WINDOWS = (1, 16)
_START_TIMEOUT_S = 60.0


def main() -> None:
    """Print one row a case: requests a second of both, and gateway / MLServer."""
    parser = arguments(__doc__)
    parser.add_argument("--batching", action="store_true", help="MLServer's adaptive batching: 32 rows, 1 ms")
    given = parser.parse_args()
    python = os.environ.get(VARIABLE)
    if not python:
        sys.exit(f"{VARIABLE} names no Python with mlserver; tests/exporters/make_peers.sh makes one")
    columns = ("model", "KiB", "at once", "gateway, req/s", "MLServer, req/s", "gateway / MLServer", "by server CPU")
    columns += ("plainest / MLServer", "by server CPU")
    title = "The gateway against MLServer" + (" with adaptive batching" if given.batching else "")
    table = Table(title, columns, given.out)
    with TemporaryDirectory() as name:
        for victim, side, widths in (("next to nothing", 32, ()), ("CNN", 128, (32, 64, 128)), ("next to nothing", 224, ())):
            folder = Path(name) / f"{side}"
            folder.mkdir()
            bundle = made_up(folder, side, widths)
            images = np.random.default_rng(0).random((1, 3, side, side), np.float32)
            with ExitStack() as stack:
                ours = stack.enter_context(gateway(bundle, log=folder / "log"))
                theirs = stack.enter_context(mlserver(bundle, folder, python, batching=given.batching))
                servers = (ours.address, ours.process.pid), theirs, stack.enter_context(plain_upstream(bundle))
                loads = [Load.of(server, images) for server in servers]
                for window in WINDOWS:
                    way, peer, plainest = (load.way(given.seconds, window=window) for load in loads)
                    ratio, cpu = compare(way, peer, repetitions=given.repetitions)
                    most = compare(plainest, peer, repetitions=given.repetitions)
                    table.row(f"{victim}, {side} px", loads[0].kib, window, ratio.rate, ratio.peer, ratio, cpu, *most)
    table.write()


@contextmanager
def mlserver(bundle: Path, folder: Path, python: str, *, batching: bool) -> Iterator[tuple[str, int]]:
    """Serve a bundle's model with MLServer until the block ends; yields its gRPC address and its pid."""
    repository = folder / "repository"
    repository.mkdir()
    settings = write_mlserver(repository, load_bundle(bundle)) / SETTINGS
    if batching:
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_batch_size": 32, "max_batch_time": 0.001}))
    ports = {f"{name}_port": _free_port() for name in ("http", "grpc", "metrics")}
    general = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (repository / "settings.json").write_text(json.dumps(general))
    log = folder / "mlserver.log"
    with log.open("wb") as output:
        program = Path(python).with_name("mlserver")
        process = subprocess.Popen([program, "start", "."], cwd=repository, stdout=output, stderr=output)
    try:
        server = f"127.0.0.1:{ports['grpc_port']}", process.pid
        image = np.zeros((1, *load_bundle(bundle).manifest.input.shape), np.float32)
        _wait(process, Load.of(server, image), log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", load: Load, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            load.send(1, window=1)
        except grpc.RpcError:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"MLServer did not come up: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
