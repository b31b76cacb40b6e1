"""Model repositories: their servers' own parsers take them, scores stay inside, and a folder is whole or not there."""

import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from google.protobuf import text_format
from peers import KSERVE, MLSERVER, TRITON, free_port, mlserver, python_of
from tiny_bundle import rows_of, write_tiny
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, model_config_pb2
from tritonclient.utils import InferenceServerException

from exporters.kserve import inference_service, kubernetes_name, write_kserve
from exporters.mlserver import write_mlserver
from exporters.triton import triton_config, write_triton
from guard.bundle import Bundle, load_bundle
from guard.errors import ExportError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny(tmp_path_factory.mktemp("bundles") / "tiny"))


DEPLOY = Path(__file__).parents[2] / "deploy"


def kserve(folder: Path, bundle: Bundle, **options: bool) -> Path:
    return write_kserve(folder / "service", bundle, storage_uri="pvc://models/tiny", **options)


WRITERS: dict[str, Callable[..., Path]] = {"triton": write_triton, "mlserver": write_mlserver, "kserve": kserve}


def config_of(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_tritons_parser_reads_what_the_manifest_says(bundle: Bundle, tmp_path: Path) -> None:
    config = config_of((write_triton(tmp_path, bundle) / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.name, config.backend, config.max_batch_size) == ("tiny", "onnxruntime", 256)
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("image", model_config_pb2.TYPE_FP32, [3, 4, 4])]
    assert [(o.name, o.data_type, list(o.dims)) for o in config.output] == [("probabilities", model_config_pb2.TYPE_FP32, [3])]
    assert config.HasField("dynamic_batching")
    assert (tmp_path / "tiny/3" / config.default_model_filename).is_file()


def test_tritons_parser_reads_names_of_any_characters(bundle: Bundle) -> None:
    odd = 'serving_default:"image"\\0\n\u00e9'
    manifest = bundle.manifest.model_copy(update={"input": bundle.manifest.input.model_copy(update={"name": odd})})
    assert config_of(triton_config(manifest)).input[0].name == odd


def test_scores_are_declared_only_when_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    config = config_of((write_triton(tmp_path, bundle, expose_scores=True) / "config.pbtxt").read_text(encoding="utf-8"))
    assert [(o.name, list(o.dims)) for o in config.output] == [("probabilities", [3]), ("scores", [1])]
    settings = json.loads((write_mlserver(tmp_path / "m", bundle, expose_scores=True) / "model-settings.json").read_text())
    assert [o["name"] for o in settings["outputs"]] == ["probabilities", "scores"]


@pytest.mark.parametrize("writer", WRITERS)
def test_graph_has_lost_its_scores_and_heads_unless_asked_for(writer: str, bundle: Bundle, tmp_path: Path) -> None:
    (closed,) = WRITERS[writer](tmp_path / "closed", bundle).rglob("model.onnx")
    (exposed,) = WRITERS[writer](tmp_path / "exposed", bundle, expose_scores=True).rglob("model.onnx")
    assert exposed.read_bytes() == bundle.model
    model = onnx.load(closed)
    assert [o.name for o in model.graph.output] == ["probabilities"]
    assert "weight" not in {i.name for i in model.graph.initializer}
    images = np.concatenate([rows_of(0.1), rows_of(0.9)])
    answers = [ort.InferenceSession(p).run(["probabilities"], {"image": images})[0] for p in (closed, exposed)]
    np.testing.assert_array_equal(*answers)


def test_bundle_whose_graph_has_no_scores_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(bundle.model)
    del model.graph.output[1]
    with pytest.raises(ExportError, match=r"no output \['scores'\]"):
        write_triton(tmp_path, Bundle(bundle.manifest, model.SerializeToString()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_folder_that_exists_is_replaced_only_by_force_and_only_if_it_is_one(writer: str, bundle: Bundle, tmp_path: Path) -> None:
    folder = WRITERS[writer](tmp_path, bundle)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ExportError, match="exists; give another folder, or force"):
        WRITERS[writer](tmp_path, bundle, expose_scores=True)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (folder / "stale").touch()
    WRITERS[writer](tmp_path, bundle, expose_scores=True, force=True)
    assert not (folder / "stale").exists()
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]  # nothing left beside it

    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "holiday.jpg").touch()
    with pytest.raises(ExportError, match="not replaced"):
        WRITERS[writer](tmp_path, bundle, force=True)
    assert [p.name for p in folder.iterdir()] == ["holiday.jpg"]


def test_what_fails_half_way_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    long = bundle.manifest.model_copy(update={"version": "9" * 300})  # no file system has such a name
    with pytest.raises(OSError, match="File name too long"):
        write_triton(tmp_path / "repository", Bundle(long, bundle.model))
    assert list((tmp_path / "repository").iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_opens_the_folder_reads_that_no_guard_stands_there(writer: str, bundle: Bundle, tmp_path: Path) -> None:
    files = [p for p in WRITERS[writer](tmp_path, bundle).rglob("*") if p.is_file() and p.suffix != ".onnx"]
    texts = [p.read_text(encoding="utf-8") for p in files]
    assert any("No guard stands in this server" in text for text in texts)


def test_service_is_closed_to_all_but_the_gateway(bundle: Bundle, tmp_path: Path) -> None:
    folder = kserve(tmp_path, bundle)
    service, policy = yaml.safe_load_all((folder / "inferenceservice.yaml").read_text(encoding="utf-8"))
    model = service["spec"]["predictor"]["model"]
    assert (model["storageUri"], model["protocolVersion"]) == ("pvc://models/tiny", "grpc-v2")
    assert service["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    assert policy["spec"]["podSelector"]["matchLabels"] == {"serving.kserve.io/inferenceservice": service["metadata"]["name"]}
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "knockguard"}}}]
    assert [p["port"] for p in rule["ports"]] == [p["containerPort"] for p in model["ports"]]
    assert (folder / "repository/tiny/config.pbtxt").is_file()


def test_policy_is_one_that_kubernetes_takes_and_names_the_gateways_own_pods(bundle: Bundle) -> None:
    _, policy = yaml.safe_load_all(inference_service(bundle.manifest, storage_uri="pvc://models/tiny"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about how it finds its files
        validator = pytest.importorskip("kubernetes_validate", reason="`pip install kubernetes-validate` has the schemas")
        validator.validate(policy, "1.35", strict=True)
    deployment = yaml.safe_load((DEPLOY / "kubernetes/deployment.yaml").read_text(encoding="utf-8"))
    (peer,) = policy["spec"]["ingress"][0]["from"]
    assert peer["podSelector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(("name", "expected"), [("Birds_v2.1", "birds-v2-1"), ("34-ResNet", "resnet"), ("a" * 128, "a" * 53)])
def test_name_becomes_one_that_kubernetes_takes(name: str, expected: str) -> None:
    assert kubernetes_name(name) == expected


def test_name_and_storage_that_cannot_be_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ExportError, match="has no letter"):
        kubernetes_name("2024")
    for uri in ("/models", "models", "s3:// a"):
        with pytest.raises(ExportError, match="SCHEME://PATH"):
            inference_service(bundle.manifest, storage_uri=uri)


@pytest.mark.peer
def test_triton_itself_takes_the_configuration_and_begins_to_load_the_version(bundle: Bundle, tmp_path: Path) -> None:
    python = python_of(TRITON, "nvidia-pytriton")
    script = "import pytriton, pathlib; print(pathlib.Path(pytriton.__file__).parent)"
    found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    write_triton(tmp_path, bundle)
    command = [f"{found}/tritonserver/bin/tritonserver", "--model-repository", str(tmp_path), "--exit-on-error=true"]
    command += ["--allow-http=false", "--allow-metrics=false", "--grpc-address=127.0.0.1", f"--grpc-port={free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    # That package brings Triton without its ONNX backend, so it comes this far and no further: a configuration that it cannot
    # read, or a version that it does not find, stops it earlier.
    assert "loading: tiny:3" in done.stderr
    assert "unable to find backend library for backend 'onnxruntime'" in done.stderr


# Runs in MLServer's own environment: its parser, its import of the runtime, and two rows through it.
_IN_MLSERVER = """
import asyncio, json, sys
import numpy as np
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelSettings
from mlserver.types import InferenceRequest

async def main(path):
    settings = ModelSettings.parse_file(path)
    model = settings.implementation(settings)
    assert await model.load()
    rows = np.stack([np.full((3, 4, 4), level, np.float32) for level in (0.1, 0.9)])
    answer = await model.predict(InferenceRequest(id="a", inputs=[NumpyCodec.encode_input("image", rows)]))
    print(json.dumps({"name": settings.name, "version": answer.model_version, "id": answer.id,
                      "outputs": {o.name: NumpyCodec.decode_output(o).tolist() for o in answer.outputs}}))
    for wrong in (NumpyCodec.encode_input("picture", rows), NumpyCodec.encode_input("image", rows[:, :1])):
        try:
            await model.predict(InferenceRequest(inputs=[wrong]))
        except Exception as error:
            print(type(error).__name__)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.peer
@pytest.mark.parametrize("expose_scores", [False, True])
def test_mlserver_loads_and_answers(expose_scores: bool, bundle: Bundle, tmp_path: Path) -> None:
    python = python_of(MLSERVER, "mlserver onnxruntime")
    folder = write_mlserver(tmp_path, bundle, expose_scores=expose_scores)
    command = [python, "-c", _IN_MLSERVER, str(folder / "model-settings.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer, *errors = done.stdout.splitlines()
    found = json.loads(answer)
    assert (found["name"], found["version"], found["id"]) == ("tiny", "3", "a")
    assert set(found["outputs"]) == ({"probabilities", "scores"} if expose_scores else {"probabilities"})
    np.testing.assert_allclose(found["outputs"]["probabilities"], np.full((2, 3), 1 / 3), rtol=1e-5)
    assert errors == ["InferenceError", "InferenceError"]


@pytest.mark.peer
def test_mlserver_serves_the_repository_to_a_client_of_triton(bundle: Bundle, tmp_path: Path) -> None:
    with mlserver(bundle, tmp_path, expose_scores=False) as address, InferenceServerClient(address) as client:
        metadata = client.get_model_metadata("tiny", as_json=True)
        assert [output["name"] for output in metadata["outputs"]] == ["probabilities"]
        query = InferInput("image", [2, 3, 4, 4], "FP32")
        query.set_data_from_numpy(rows_of(0.9, 2))
        expected = ort.InferenceSession(bundle.model).run(["probabilities"], {"image": rows_of(0.9, 2)})[0]
        np.testing.assert_allclose(client.infer("tiny", [query]).as_numpy("probabilities"), expected, rtol=1e-6)
        with pytest.raises(InferenceServerException, match="no output 'scores'"):
            client.infer("tiny", [query], outputs=[InferRequestedOutput("scores")])


# Runs in KServe's own environment: each object is built by its class, and a key that the class does not know is an error.
_IN_KSERVE = """
import json, sys
import kserve
from kubernetes import client

def read(value, kind):
    if kind.startswith("list["):
        return [read(item, kind[5:-1]) for item in value]
    made = getattr(kserve, kind, None) or getattr(client, kind, None)
    if hasattr(made, "openapi_types"):
        assert set(value) <= set(made.attribute_map.values()), (kind, sorted(value))
        keys = {attribute: key for attribute, key in made.attribute_map.items() if key in value}
        return made(**{attribute: read(value[key], made.openapi_types[attribute]) for attribute, key in keys.items()})
    return made.from_dict(value) if hasattr(made, "from_dict") else value

model = read(json.loads(sys.argv[1]), "V1beta1InferenceService").spec.predictor.model
print(type(model).__name__, model.model_format.name, model.storage_uri, model.ports[0].container_port)
"""


@pytest.mark.peer
def test_kserves_own_classes_take_the_service(bundle: Bundle) -> None:
    python = python_of(KSERVE, "kserve")
    service, _ = yaml.safe_load_all(inference_service(bundle.manifest, storage_uri="pvc://models/tiny"))
    done = subprocess.run([python, "-c", _IN_KSERVE, json.dumps(service)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["V1beta1ModelSpec", "triton", "pvc://models/tiny", "9000"]
