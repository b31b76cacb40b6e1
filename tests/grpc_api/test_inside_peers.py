"""The guard inside a real MLServer and a real KServe: their processes, their stubs, and no answer past the guard."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from peers import KSERVE, MLSERVER, PROGRAMS, free_port, mlserver_settings, python_of, running
from test_inside import PLAIN, ROWS, ask, item_of, refusal
from tiny_bundle import write_tiny
from tritonclient.grpc import service_pb2 as pb

from exporters.mlserver import write_mlserver
from grpc_api.backends.embedded import Embedded
from guard.bundle import load_bundle
from guard.guard import Guard
from guard.secret import write_secret

pytestmark = pytest.mark.peer
ROOT = Path(__file__).parents[2]


@contextmanager
def mlserver(folder: Path, policy: str, secret: str = "-") -> Iterator[str]:
    """Serve the tiny bundle's repository in MLServer with the guard before it; yields the gRPC address."""
    python = python_of(MLSERVER, "mlserver onnxruntime pillow structlog")
    bundle = write_tiny(folder / "bundle")
    repository = folder / "repository"
    write_mlserver(repository, load_bundle(bundle), expose_scores=True)
    port = mlserver_settings(repository)["grpc_port"]
    program = [str(Path(python).with_name("mlserver")), "start", "."]
    with guarded(python, bundle, (policy, secret), program, (repository, port)) as address:
        yield address


@contextmanager
def kserve(folder: Path, policy: str, secret: str = "-") -> Iterator[str]:
    """Serve the tiny bundle's fused model in KServe with the guard before it; yields the gRPC address."""
    python = python_of(KSERVE, "kserve onnxruntime pillow structlog googleapis-common-protos")
    bundle = write_tiny(folder / "bundle")
    port = free_port()
    program = [str(PROGRAMS / "kserve_server.py"), str(bundle / "model.onnx"), str(free_port()), str(port)]
    with guarded(python, bundle, (policy, secret), program, (folder, port)) as address:
        yield address


def guarded(
    python: str, bundle: Path, how: tuple[str, str], program: list[str], at: tuple[Path, int]
) -> AbstractContextManager[str]:
    command = [python, str(PROGRAMS / "guarded_host.py"), str(bundle), *how, *program]
    return running(command, *at, PYTHONPATH=str(ROOT))


HOSTS: dict[str, Callable[..., AbstractContextManager[str]]] = {"mlserver": mlserver, "kserve": kserve}


@pytest.fixture(scope="module", params=HOSTS)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with HOSTS[request.param](tmp_path_factory.mktemp(request.param), "label-only") as served:
        yield served


def test_flagged_rows_are_the_policys_and_nothing_but_the_answer_comes_back(address: str) -> None:
    with triton.InferenceServerClient(address) as client:
        response = client.infer("tiny", [item_of(ROWS)], request_id="q7").get_response()
        assert [o.name for o in response.outputs] == ["probabilities"]
        assert len(response.raw_output_contents) == 1
        assert (response.id, response.model_name) == ("q7", "tiny")
        assert {o.name for o in client.get_model_metadata("tiny").outputs} <= {"probabilities"}
    answers = ask(address)
    np.testing.assert_allclose(answers[:2], PLAIN[:2], rtol=1e-6)
    np.testing.assert_array_equal(answers[2], [1, 0, 0])


def test_scores_cannot_be_asked_for(address: str) -> None:
    named = [triton.InferRequestedOutput("probabilities")]
    np.testing.assert_array_equal(ask(address, outputs=named)[2], [1, 0, 0])
    assert refusal(lambda: ask(address, outputs=[triton.InferRequestedOutput("scores")]))[0] == "INVALID_ARGUMENT"


def test_typed_request_is_guarded_too(address: str) -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    request.inputs.add(name="image", datatype="FP32", shape=ROWS.shape).contents.fp32_contents.extend(ROWS.ravel().tolist())
    with grpc.insecure_channel(address) as channel:
        send = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        response = send(request, timeout=20)
    (output,) = response.outputs
    raw = response.raw_output_contents
    values = np.frombuffer(raw[0], np.float32) if raw else np.array(output.contents.fp32_contents)
    np.testing.assert_array_equal(values[6:], [1, 0, 0])


def test_stream_is_no_way_around(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        send = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            next(send(iter([pb.ModelInferRequest(model_name="tiny")]), timeout=20))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("host", HOSTS)
def test_keyed_policy_answers_as_the_gateway_would_with_the_same_secret(host: str, tmp_path: Path) -> None:
    secret = write_secret(tmp_path / "secret")
    images = np.ascontiguousarray(np.random.default_rng(0).integers(200, 256, (4, 3, 4, 4)) / np.float32(255), np.float32)
    with HOSTS[host](tmp_path, "shuffle", str(tmp_path / "secret")) as served:
        answers = ask(served, images)
    bundle = load_bundle(tmp_path / "bundle")
    expected = Guard.of(bundle.manifest, policy="shuffle", secret=secret).answer(images, *Embedded(bundle).infer(images))
    np.testing.assert_allclose(answers, expected, rtol=1e-6)
