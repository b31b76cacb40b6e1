"""Every client that can be led through the claims from here, and those of other servers, led in their own environments."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import tritonclient.grpc as triton
from claims import Client
from client_ours import OurClient
from client_stubs import StubClient, reflected
from client_triton import AioTritonClient, TritonClient

from grpc_api.blocking import BlockingClient
from grpc_api.stubs import knockguard_inference_pb2 as pb

LEAD = Path(__file__).with_name("lead.py")
KEEP_ALIVE = {"keepalive_options": triton.KeepAliveOptions(10_000, 2_000, True, 0)}
Open = Callable[[str], AbstractContextManager[Client]]


@contextmanager
def _stubs(address: str) -> Iterator[Client]:
    with grpc.insecure_channel(address) as channel:
        yield StubClient(channel, pb)


@contextmanager
def _reflection(address: str) -> Iterator[Client]:
    with grpc.insecure_channel(address) as channel:
        yield StubClient(channel, reflected(channel))


@contextmanager
def _ours(address: str) -> Iterator[Client]:
    with BlockingClient(address) as client:
        yield OurClient(client)


CLIENTS: dict[str, Open] = {
    "generated stubs": _stubs,
    "messages by reflection, as grpcurl": _reflection,
    "GuardClient": _ours,
    "tritonclient": lambda address: closing(TritonClient(address)),
    "tritonclient.aio": lambda address: closing(AioTritonClient(address)),
}
# The same against a gateway with TLS, pings on.
TLS_CLIENTS: dict[str, Callable[[str, Path], AbstractContextManager[Client]]] = {
    "tritonclient, TLS, keep-alive": lambda address, ca: closing(TritonClient(address, **_secure(ca))),
    "tritonclient.aio, TLS, keep-alive": lambda address, ca: closing(AioTritonClient(address, **_secure(ca))),
}
# Client -> the word that `lead.py` knows it by, and the variable that names its environment's Python.
PEERS = {
    "MLServer's converters and stubs": ("mlserver", "KNOCKGUARD_MLSERVER_PYTHON"),
    "KServe's InferenceGRPCClient": ("kserve", "KNOCKGUARD_KSERVE_PYTHON"),
}


def _secure(ca: Path) -> dict[str, Any]:
    return {"ssl": True, "root_certificates": str(ca), **KEEP_ALIVE}


def led_elsewhere(python: str, kind: str, address: str) -> dict[str, str]:
    """Return the outcomes of another server's client, led in its own environment."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it is not our Python
    done = subprocess.run([python, LEAD, kind, address], capture_output=True, text=True, check=False, env=kept, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
