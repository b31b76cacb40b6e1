"""What is let in at once is bounded, what is refused is told when to come back, and nobody else waits for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tiny_bundle import SHAPE, rows_of

from grpc_api.admission import Room
from grpc_api.client import GuardClient
from grpc_api.statuses import error_of
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import QuotaExceededError

INFER = "/inference.GRPCInferenceService/ModelInfer"


def test_room_is_full_at_its_limit_and_free_again_when_left() -> None:
    room = Room("calls are", 3)
    with room.held(2):
        room.take()
        with pytest.raises(QuotaExceededError, match="3 calls are under way and 3 may be") as caught:
            room.take()
        assert caught.value.retry_after_s > 0
        room.leave()
        with room.held(1):
            assert room.taken == 3
    assert room.taken == 0


def test_room_that_is_empty_lets_in_whoever_comes() -> None:
    room = Room("bytes are", 10)
    with room.held(1000), pytest.raises(QuotaExceededError):
        room.take()
    with pytest.raises(ZeroDivisionError), room.held(1):
        raise ZeroDivisionError
    assert room.taken == 0


def infer(address: str, content: bytes, timeout_s: float = 20) -> bytes:
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        return channel.unary_unary(INFER)(content, timeout=timeout_s)


def heard(address: str, content: bytes) -> tuple[grpc.StatusCode, str, float]:
    """Return the status, the sentence, and the seconds to wait of a call that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        infer(address, content)
    error = caught.value
    told = error_of(error.code(), error.details(), error.trailing_metadata())
    return error.code(), error.details(), getattr(told, "retry_after_s", 0.0)


@contextmanager
def waiting(served: Any, n: int, rows: np.ndarray) -> Iterator[None]:
    """Keep n calls waiting for company in the batcher's queue."""

    async def ask() -> None:
        async with GuardClient(served.address) as client:
            await asyncio.gather(*(client.infer("tiny", "image", rows) for _ in range(n)))

    thread = threading.Thread(target=asyncio.run, args=(ask(),))
    thread.start()
    deadline = time.monotonic() + 10
    while served.total("knockguard_queued_rows") < n * len(rows) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield
    finally:
        thread.join()


SLOW = {"max_delay_ms": 1000, "max_batch_rows": 4096}
EMPTY = pb.ModelInferRequest(model_name="tiny").SerializeToString()


def test_calls_over_the_limit_are_told_when_to_come_back_and_their_places_are_free_after(bundle: Path, start_with: Any) -> None:
    with start_with(bundle, limits={**SLOW, "max_calls": 3}) as served:
        with waiting(served, 3, rows_of(0.1)):
            code, sentence, retry_after_s = heard(served.address, EMPTY)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "3 calls are under way and 3 may be" in sentence
            assert retry_after_s == 0.5
            with grpc.insecure_channel(served.address) as channel:  # an orchestrator must not think it dead
                check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
                assert check.status == health_pb2.HealthCheckResponse.SERVING
        assert heard(served.address, EMPTY)[0] is grpc.StatusCode.INVALID_ARGUMENT  # let in, and read
        assert served.total("grpc_server_handled_total", grpc_method="ModelInfer", grpc_code="RESOURCE_EXHAUSTED") == 1


def test_streams_are_bounded_and_leave_calls_alone(bundle: Path, start_with: Any, dark: Callable[..., np.ndarray]) -> None:
    with start_with(bundle, limits={"max_streams": 2}) as served, grpc.insecure_channel(served.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        open_ = [watch(health_pb2.HealthCheckRequest(), timeout=20) for _ in range(2)]
        assert all(next(stream).status == health_pb2.HealthCheckResponse.SERVING for stream in open_)
        with pytest.raises(grpc.RpcError) as caught:
            next(watch(health_pb2.HealthCheckRequest(), timeout=20))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        async def ask() -> int:
            async with GuardClient(served.address) as client:
                return len(await client.infer("tiny", "image", dark(2)))

        assert asyncio.run(ask()) == 2
        open_[0].cancel()
        deadline, status = time.monotonic() + 10, None
        while status is None and time.monotonic() < deadline:
            try:
                status = next(watch(health_pb2.HealthCheckRequest(), timeout=20)).status
            except grpc.RpcError:
                time.sleep(0.02)
        assert status == health_pb2.HealthCheckResponse.SERVING


def test_bytes_under_way_are_bounded(bundle: Path, start_with: Any) -> None:
    wide = {**SLOW, "max_request_rows": 4000, "max_queue_rows": 8000, "max_inflight_mib": 1}
    request = pb.ModelInferRequest(model_name="tiny")
    request.inputs.add(name="image", datatype="FP32", shape=[2000, *SHAPE])
    request.raw_input_contents.append(rows_of(0.1, 2000).tobytes())
    with start_with(bundle, limits=wide) as served, waiting(served, 1, rows_of(0.1, 2000)):
        code, sentence, retry_after_s = heard(served.address, request.SerializeToString())
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "bytes are under way and 1048576 may be" in sentence
        assert retry_after_s == 0.5


def typed(datatype: str, field: int, payload: bytes, shape: list[int]) -> bytes:
    """Return a request of typed contents as its bytes: a client of Python's would take seconds to build it."""
    packed = bytes([field << 3 | 2]) + _VarintBytes(len(payload)) + payload
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype=datatype, shape=shape).SerializeToString()
    tensor += bytes([5 << 3 | 2]) + _VarintBytes(len(packed)) + packed
    request = pb.ModelInferRequest(model_name="tiny").SerializeToString()
    return request + bytes([5 << 3 | 2]) + _VarintBytes(len(tensor)) + tensor


N = 12_000_000
HOSTILE = {
    "floats of another shape": typed("FP32", 6, bytes(4 * N), [N]),
    "floats of another name of type": typed("FP64", 6, bytes(4 * N), [N]),
    "integers of another shape": typed("UINT8", 4, bytes(N), [N]),
    "too many rows": typed("UINT8", 4, bytes(N), [N // 48, *SHAPE]),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_millions_of_typed_values_are_refused_unread_while_others_are_answered(
    content: bytes, gateway: Any, dark: Callable[..., np.ndarray]
) -> None:
    async def asked() -> list[float]:
        seconds = []
        async with GuardClient(gateway.address) as client:
            for _ in range(60):
                started = time.perf_counter()
                await client.infer("tiny", "image", dark(1))
                seconds.append(time.perf_counter() - started)
        return seconds

    before = memory_mib(gateway.process.pid)
    refused: list[grpc.StatusCode] = []
    thread = threading.Thread(target=lambda: refused.append(heard(gateway.address, content)[0]))
    thread.start()
    slowest = max(asyncio.run(asked()))
    thread.join()
    assert refused == [grpc.StatusCode.INVALID_ARGUMENT]
    assert slowest < 1.5  # converting them took 1.7 s on an idle machine; what is left is the message's arrival on a busy one
    assert memory_mib(gateway.process.pid) - before < 4 * len(content) / 2**20 + 128  # and 900 MiB


def memory_mib(pid: int) -> float:
    """Return the most memory that a process has had."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
