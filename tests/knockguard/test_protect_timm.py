"""`knockguard protect` on a model of timm, exported by us and by timm's own tool."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from miniature import InProcess, discs, save, stripes
from torch import nn

from evaluation.models import architecture, build
from exporters.runtime import run
from exporters.torch_export import export_victim
from guard.bundle import load_bundle

NAME, SIDE = "test_resnet", 32  # timm's smallest, made for tests


@pytest.fixture(scope="module")
def victim() -> nn.Module:
    pytest.importorskip("timm", reason="timm is not installed; the interop extra brings it")
    return build(f"timm/{NAME}", n_classes=3, seed=0).eval()


def by_us(model: nn.Module, path: Path) -> None:
    sample = np.random.default_rng(0).random((4, 3, SIDE, SIDE), np.float32)
    export_victim(model, path, sample=sample, stages=architecture(f"timm/{NAME}").stages)


def by_timm(model: nn.Module, path: Path) -> None:
    from timm.utils.onnx import onnx_export

    example = torch.rand(1, 3, SIDE, SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        onnx_export(model, str(path), example_input=example, input_names=["image"], output_names=["logits"], dynamic_size=False)


@pytest.mark.parametrize("export", [by_us, by_timm])
def test_timm_victim_is_protected_and_answers_as_before(
    export: Callable[[nn.Module, Path], None], victim: nn.Module, tmp_path: Path, knockguard: InProcess
) -> None:
    export(victim, tmp_path / "victim.onnx")
    inside = save(discs(420, seed=3, side=40)[0], tmp_path / "in")
    outside = save(stripes(150, seed=4, side=40), tmp_path / "out", ("a", "b", "c", "d", "e"))
    given = ["--in", inside, "--out-pool", outside, "-o", tmp_path / "bundle"]
    done = knockguard("protect", tmp_path / "victim.onnx", *given)
    assert done.code == 0, done.err
    bundle = load_bundle(tmp_path / "bundle")
    assert {f"stage{i}" for i in range(1, 5)} <= bundle.manifest.provenance.stages.keys()
    images = np.random.default_rng(1).random((9, 3, SIDE, SIDE), np.float32)
    with torch.inference_mode():
        expected = victim(torch.from_numpy(images)).softmax(dim=1).numpy()
    np.testing.assert_allclose(run(bundle.model, images)["probabilities"], expected, atol=1e-5)
