"""The guarded model class inside a real MLServer: one answer on every way in, and words for what is refused."""

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from peers import MLSERVER, mlserver_settings, python_of, running
from PIL import Image
from test_inside import BUNDLE, PLAIN, ROWS, ask, refusal
from tiny_bundle import write_tiny

from exporters.mlserver import write_guarded_mlserver
from grpc_api.backends.embedded import Embedded
from guard.bundle import load_bundle
from guard.secret import write_secret

pytestmark = pytest.mark.peer
ROOT = Path(__file__).parents[2]


@contextmanager
def guarded_runtime(folder: Path, **extra: Any) -> Iterator[tuple[str, str]]:
    """Serve the tiny bundle by the guarded model class; yields the addresses of gRPC and REST."""
    python = python_of(MLSERVER, "mlserver onnxruntime pillow structlog")
    repository = folder / "repository"
    made = write_guarded_mlserver(repository, load_bundle(write_tiny(folder / "bundle")))
    settings = json.loads((made / "model-settings.json").read_text())
    settings["parameters"]["extra"] = extra
    (made / "model-settings.json").write_text(json.dumps(settings))
    ports = mlserver_settings(repository)
    command = [str(Path(python).with_name("mlserver")), "start", "."]
    with running(command, repository, ports["grpc_port"], PYTHONPATH=str(ROOT)) as address:
        yield address, f"127.0.0.1:{ports['http_port']}"


def by_rest(address: str, **fields: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://{address}/v2/models/tiny/infer", json.dumps(fields).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("guarded")
    write_secret(folder / "secret")
    with guarded_runtime(folder, policy="label-only", secret_file=str(folder / "secret")) as served:
        yield served


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def image(values: np.ndarray, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": "image", "shape": list(values.shape), "datatype": datatype, "data": values.ravel().tolist()}


def test_guarded_model_class_answers_alike_over_grpc_and_rest(runtime: tuple[str, str]) -> None:
    address, rest = runtime
    answers = ask(address)
    np.testing.assert_allclose(answers[:2], PLAIN[:2], rtol=1e-6)
    np.testing.assert_array_equal(answers[2], [1, 0, 0])
    status, answer = by_rest(rest, id="q7", inputs=[image(ROWS)])
    (output,) = answer["outputs"]
    assert (status, answer["id"], output["name"], output["shape"]) == (200, "q7", "probabilities", [3, 3])
    np.testing.assert_allclose(np.reshape(output["data"], (3, 3)), answers, rtol=1e-6)


def test_guarded_model_class_takes_grey_levels_and_files_too(runtime: tuple[str, str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (2, 4, 4, 3), dtype=np.uint8)
    inputs = np.ascontiguousarray(np.moveaxis(pixels, 3, 1) / np.float32(255), np.float32)
    expected = Embedded(BUNDLE, provider="cpu").infer(inputs)[0]
    encoded = [base64.b64encode(png(picture)).decode() for picture in pixels]
    for sent in (image(pixels, "UINT8"), {"name": "image", "shape": [2], "datatype": "BYTES", "data": encoded}):
        status, answer = by_rest(runtime[1], inputs=[sent])
        assert status == 200, answer
        np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (2, 3)), expected, rtol=1e-5)


def test_guarded_model_class_refuses_in_words_and_tells_nothing_of_itself(runtime: tuple[str, str]) -> None:
    address, rest = runtime
    asked = [triton.InferRequestedOutput("scores")]
    assert refusal(lambda: ask(address, outputs=asked)) == (
        "INVALID_ARGUMENT", "there is no output 'scores'; the model has 'probabilities'")  # fmt: skip
    short = image(ROWS) | {"shape": [9, 3, 4, 4]}
    over = image(np.full((1, 4, 4, 3), 300), "UINT8")
    for sent, said in (
        (short, "values that are not all FP32"), (over, "not all UINT8"), (image(ROWS, "INT32"), "send FP32"),
        (image(ROWS) | {"name": "pixels"}, "takes one input, 'image'"), (image(ROWS[:, :1]), "must have shape"),
        ({"name": "image", "shape": [1], "datatype": "BYTES", "data": ["!"]}, "no BYTES of shape"),
    ):  # fmt: skip
        status, answer = by_rest(rest, inputs=[sent])
        assert (status, said in answer["error"]) == (400, True), answer
    status, answer = by_rest(rest, inputs=[image(ROWS)], outputs=[{"name": "scores"}])
    assert (status, "no output 'scores'" in answer["error"]) == (400, True)


def test_guarded_model_class_refuses_what_it_would_pass_over_in_silence(runtime: tuple[str, str]) -> None:
    address, rest = runtime
    classes = [triton.InferRequestedOutput("probabilities", class_count=2)]
    status, message = refusal(lambda: ask(address, outputs=classes))
    assert (status, "'probabilities' has the parameter 'classification'" in message) == ("INVALID_ARGUMENT", True)
    harmless, elsewhere = {"content_type": "np"}, {"shared_memory_region": "a"}
    wish = {"name": "probabilities"}
    for sent, wished, expected in (
        (image(ROWS), wish | {"parameters": {"classification": 2}}, 400),
        (image(ROWS), wish | {"parameters": elsewhere}, 400),
        (image(ROWS) | {"parameters": elsewhere}, wish, 400),
        (image(ROWS) | {"parameters": harmless}, wish | {"parameters": harmless}, 200),
    ):
        code, answer = by_rest(rest, inputs=[sent], outputs=[wished])
        assert (code, "has the parameter" in str(answer)) == (expected, expected == 400), answer


def test_guarded_model_class_that_refuses_says_no_more(tmp_path: Path) -> None:
    with guarded_runtime(tmp_path, policy="refuse") as (address, rest):
        assert len(ask(address, ROWS[:2])) == 2
        assert refusal(lambda: ask(address)) == ("INVALID_ARGUMENT", "this query is not answered")
        assert by_rest(rest, inputs=[image(ROWS)]) == (400, {"error": "this query is not answered"})
