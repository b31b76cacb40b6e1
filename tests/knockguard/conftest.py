"""A victim in miniature and its bundle, made once a session."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attack_scene import N_TEST, Scene
from miniature import Done, InProcess, Miniature, call, discs, quiet, save, stripes

from knockguard.gateway_process import RunningGateway, gateway


@pytest.fixture
def knockguard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(monkeypatch, capsys)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    from evaluation.models import architecture, build
    from evaluation.training import Training, predict, train
    from exporters.torch_export import export_victim

    folder = tmp_path_factory.mktemp("miniature")
    images, labels = discs(300, seed=1)
    model = build("cnn-small", n_classes=3, seed=0)
    train(model, images, labels, training=Training(epochs=6), seed=0, progress=quiet)
    sample = np.ascontiguousarray(np.moveaxis(images[:8], 3, 1) / np.float32(255), dtype=np.float32)
    export_victim(model, folder / "victim.onnx", sample=sample, stages=architecture("cnn-small").stages)
    test, test_labels = discs(90, seed=2)
    inside = save(discs(420, seed=3)[0], folder / "in")
    outside = save(stripes(300, seed=4), folder / "out", ("a", "b", "c", "d", "e", "f"))
    return Miniature(folder / "victim.onnx", test, test_labels, predict(model, test), inside, outside)


@pytest.fixture(scope="session")
def protected_by_command(miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """Return how `knockguard protect --json` ended, and the bundle's folder."""
    bundle = tmp_path_factory.mktemp("protected") / "bundle"
    return call(*miniature.words(bundle, "--json", "--version", "7")), bundle


@pytest.fixture(scope="session")
def bundle(protected_by_command: tuple[Done, Path]) -> Path:
    done, folder = protected_by_command
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def running(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for the tests that only ask; nobody else asks under the model's counters in between."""
    with gateway(bundle, log=tmp_path_factory.mktemp("running") / "log") as served:
        yield served


@pytest.fixture(scope="session")
def scene(bundle: Path, miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("attacking")
    test = save(discs(N_TEST, seed=20)[0], folder / "test", ("0", "1", "2"))
    with gateway(bundle, log=folder / "log") as served:
        yield Scene(served, miniature.outside, test)


@pytest.fixture(scope="session")
def attacked(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path, int]:
    """Return how one attack ended, its folder, and how many rows it asked."""
    out = tmp_path_factory.mktemp("attacked") / "attack"
    before = scene.asked()
    return call(*scene.words(out, "--json")), out, scene.asked() - before
