"""Traces: one span a query under the caller's own, one for each stage, and nothing that tells who is flagged."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tiny_bundle import rows_of

from grpc_api.converters import encode_input
from grpc_api.settings import GatewaySettings
from grpc_api.stubs import knockguard_inference_pb2 as pb

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# A gateway whose spans are kept in memory, and told on stdout when it ends.
TRACED = """import json, sys
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from grpc_api import otel, server
from grpc_api.settings import GatewaySettings

kept = InMemorySpanExporter()
opened = otel.open_traces
otel.open_traces = lambda: opened(kept)
code = server.run_gateway(GatewaySettings.of(json.loads(sys.argv[1])))
for span in kept.get_finished_spans():
    print(span.to_json(indent=None))
sys.exit(code)
"""


def call(address: str, images: np.ndarray, *metadata: tuple[str, str], name: str = "image") -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    encode_input(request, name, images)
    with grpc.insecure_channel(address) as channel:
        method = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", request_serializer=pb.ModelInferRequest.SerializeToString
        )
        method(request, timeout=10, metadata=metadata)


@pytest.fixture(scope="module")
def spans(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The spans of three queries: a flagged one with a parent, one without, and one that is refused."""
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel brings it")
    ready = tmp_path_factory.mktemp("traces") / "ready.json"
    settings = {
        "bundles": [str(bundle)], "port": 0, "metrics_port": 0, "policy": "label-only", "ready_file": str(ready),
        "telemetry": {"traces": True},
    }  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", TRACED, json.dumps(settings)], stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            address = f"127.0.0.1:{json.loads(ready.read_text())['port']}"
            call(address, rows_of(0.9, 2), ("traceparent", PARENT))
            call(address, rows_of(0.1), ("traceparent", "nonsense"))
            with pytest.raises(grpc.RpcError):
                call(address, rows_of(0.1), name="secret-name")
        finally:
            process.terminate()
        said = process.communicate(timeout=20)[0]
    return [json.loads(line) for line in said.splitlines()]


def test_query_is_a_span_of_the_callers_trace_with_one_for_each_stage(spans: list[dict[str, Any]]) -> None:
    trace = [s for s in spans if s["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"]
    (server,) = [s for s in trace if s["kind"] == "SpanKind.SERVER"]
    assert server["parent_id"] == "0xb7ad6b7169203331"
    assert server["attributes"]["knockguard.model"] == "tiny"
    assert server["attributes"]["knockguard.rows"] == 2
    stages = [s for s in trace if s is not server]
    assert {s["name"] for s in stages} == {"decode", "queue", "inference", "decide", "encode"}
    assert {s["parent_id"] for s in stages} == {server["context"]["span_id"]}
    in_time = sorted(stages, key=lambda s: s["start_time"])
    assert [s["name"] for s in in_time] == ["decode", "queue", "inference", "decide", "encode"]
    for stage in stages:
        assert stage["start_time"] <= stage["end_time"]


def test_context_that_is_none_begins_a_trace(spans: list[dict[str, Any]]) -> None:
    servers = [s for s in spans if s["kind"] == "SpanKind.SERVER"]
    assert [s["parent_id"] is None for s in servers] == [False, True, True]
    assert len({s["context"]["trace_id"] for s in servers}) == 3


def test_span_tells_neither_flag_nor_what_the_client_wrote(spans: list[dict[str, Any]]) -> None:
    known = {"rpc.system", "rpc.service", "rpc.method", "knockguard.model", "knockguard.version", "knockguard.rows"}
    assert {name for span in spans for name in span["attributes"]} == known
    assert not [event for span in spans for event in span["events"]]
    refused = [s["status"] for s in spans if s["status"]["status_code"] == "ERROR"]
    assert refused == [{"status_code": "ERROR", "description": "INVALID_ARGUMENT"}]


def test_traces_are_off_and_their_library_is_not_loaded_unless_asked_for() -> None:
    assert GatewaySettings.of({"bundles": [Path("bundle")]}).telemetry.traces is False
    code = "import sys, grpc_api.server; print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
