"""`knockguard export`: what it writes, what its server makes of it, and a gateway in front that guards it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from google.protobuf import text_format
from miniature import InProcess, listing
from peers import MLSERVER, mlserver_settings, python_of, running
from tiny_bundle import rows_of, write_tiny
from tritonclient.grpc import model_config_pb2

from guard.bundle import load_bundle, write_bundle
from knockguard.gateway_process import gateway

URI = ("--storage-uri", "pvc://models/tiny")
WORDS: dict[str, tuple[str, ...]] = {"triton": (), "mlserver": (), "kserve": URI}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "bundle")


@pytest.mark.parametrize("server", WORDS)
def test_files_are_told_and_are_there_and_the_next_command_too(
    server: str, bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    done = knockguard("export", bundle, "--for", server, "-o", tmp_path / "models", *WORDS[server])
    assert done.code == 0, done.err
    folder = tmp_path / "models/tiny"
    assert set(done.out.splitlines()) == {str(path) for path in folder.rglob("*") if path.is_file()}
    assert f"knockguard serve {bundle} --upstream" in done.words
    assert "--scores-from bundle" in done.words
    assert "No guard stands in this server" in done.words

    told = json.loads(knockguard("export", bundle, "--for", server, "-o", tmp_path / "m", *WORDS[server], "--json").out)
    assert (told["server"], told["folder"], told["scores"]) == (server, str(tmp_path / "m/tiny"), False)
    assert set(told["files"]) == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_options_reach_the_files(bundle: Path, tmp_path: Path, knockguard: InProcess) -> None:
    for server, path in (("triton", "config.pbtxt"), ("kserve", "repository/tiny/config.pbtxt")):
        out = tmp_path / server
        words = ("--max-batch-rows", "7", "--expose-scores", *WORDS[server])
        done = knockguard("export", bundle, "--for", server, "-o", out, *words)
        config = text_format.Parse((out / "tiny" / path).read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
        assert config.max_batch_size == 7
        assert [output.name for output in config.output] == ["probabilities", "scores"]
        assert "--scores-from" not in done.words
        assert "knows what is flagged" in done.words
    service, _policy = yaml.safe_load_all((tmp_path / "kserve/tiny/inferenceservice.yaml").read_text(encoding="utf-8"))
    assert service["spec"]["predictor"]["model"]["storageUri"] == URI[1]


def test_guarded_model_is_the_whole_bundle_and_needs_no_gateway(bundle: Path, tmp_path: Path, knockguard: InProcess) -> None:
    done = knockguard("export", bundle, "--for", "mlserver", "--guarded", "-o", tmp_path / "models")
    assert done.code == 0
    folder = tmp_path / "models/tiny"
    assert load_bundle(folder / "bundle") == load_bundle(bundle)
    settings = json.loads((folder / "model-settings.json").read_text(encoding="utf-8"))
    assert settings["implementation"] == "grpc_api.inside.mlserver_runtime.GuardedRuntime"
    assert [output["name"] for output in settings["outputs"]] == ["probabilities"]
    assert "mlserver start" in done.words
    assert "No guard stands" not in done.words + (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--for", "tritn"), (2, "one of triton, mlserver, kserve; did you mean 'triton'")),
        (("--for", "kserve"), (2, "say where: --storage-uri")),
        (("--for", "kserve", "--storage-uri", "/models"), (3, "SCHEME://PATH")),
        (("--for", "triton", *URI), (2, "--storage-uri is for KServe")),
        (("--for", "triton", "--guarded"), (2, "--guarded is for MLServer")),
        (("--for", "mlserver", "--guarded", "--expose-scores"), (2, "no --expose-scores")),
        (("--for", "mlserver", "--max-batch-rows", "8"), (2, "not for MLServer")),
        (("--for", "triton", "--max-batch-rows", "0"), (2, "max-batch-rows")),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    words: tuple[str, ...], expected: tuple[int, str], bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    before = listing(tmp_path)
    done = knockguard("export", bundle, "-o", tmp_path / "models", *words)
    assert (done.code, done.out, "Traceback" in done.err) == (expected[0], "", False), done.err
    assert expected[1] in done.words
    assert listing(tmp_path) == before


def test_bundle_that_is_none_and_folder_that_is_taken_are_refused(bundle: Path, tmp_path: Path, knockguard: InProcess) -> None:
    words = ("--for", "triton", "-o", tmp_path / "models")
    assert knockguard("export", tmp_path / "nothing", *words).code == 3
    assert knockguard("export", bundle, *words).code == 0
    taken = knockguard("export", bundle, *words)
    assert (taken.code, "or force to replace the model there" in taken.words) == (3, True)
    assert knockguard("export", bundle, *words, "--force").code == 0
    assert listing(tmp_path / "models") == {"tiny", "tiny/config.pbtxt", "tiny/3", "tiny/3/model.onnx"}


def test_bundle_that_promises_what_it_cannot_keep_is_written_only_if_that_is_asked_for(
    bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    whole = load_bundle(bundle)
    [detector] = whole.manifest.detectors
    few = detector.model_copy(update={"threshold": replace(detector.threshold, n=89)})
    write_bundle(tmp_path / "few", manifest=whole.manifest.model_copy(update={"detectors": (few,)}), model=whole.model)
    words = ("export", tmp_path / "few", "--for", "triton", "-o", tmp_path / "models")
    refused = knockguard(*words)
    assert (refused.code, "takes 90" in refused.words, (tmp_path / "models").exists()) == (3, True, False)
    assert knockguard(*words, "--unguarded").code == 0


def ask(address: str) -> np.ndarray:
    rows = np.concatenate([rows_of(0.1, 2), rows_of(0.95)])
    item = triton.InferInput("image", list(rows.shape), "FP32")
    item.set_data_from_numpy(rows)
    with triton.InferenceServerClient(address) as client:
        return client.infer("tiny", [item]).as_numpy("probabilities")


@pytest.mark.peer
@pytest.mark.parametrize("exposed", [True, False])
def test_mlserver_behind_a_gateway_answers_by_the_policy(
    exposed: bool, bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    python = python_of(MLSERVER, "mlserver onnxruntime")
    models = tmp_path / "models"
    done = knockguard("export", bundle, "--for", "mlserver", "-o", models, *(["--expose-scores"] if exposed else []))
    assert done.code == 0
    port = mlserver_settings(models)["grpc_port"]
    with running([str(Path(python).with_name("mlserver")), "start", "."], models, port) as upstream:
        arguments = ["--policy", "label-only", "--upstream", upstream, *([] if exposed else ["--scores-from", "bundle"])]
        with gateway(bundle, log=tmp_path / "log", arguments=arguments) as served:
            answers = ask(served.address)
    np.testing.assert_array_equal(answers[2], [1, 0, 0])
    assert 0.34 < answers[0].max() < 1
