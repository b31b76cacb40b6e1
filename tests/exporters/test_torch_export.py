"""nn.Module -> ONNX."""

import numpy as np
import pytest
import torch
from torch import nn

from exporters.graph import input_of, load_graph
from exporters.runtime import run
from exporters.torch_export import PARITY, export_victim
from guard.errors import ExportError, ParityError

STAGES = {"stage1": "block1", "stage2": "block2"}


class NoisyWhenExported(nn.Module):
    """Dropout that is on whatever the mode: two runs never agree."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, image):
        return self.head(nn.functional.dropout(self.features(image).mean((2, 3)), 0.5, training=True))


class OtherWhenExported(nn.Module):
    """Answers 2 % larger logits to the exporter than to its users; its stage is honest."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, image):
        logits = self.head(self.features(image).mean((2, 3)))
        return logits * 1.02 if torch.compiler.is_compiling() else logits


class TwoAnswers(nn.Module):
    def forward(self, image):
        return image.mean((2, 3)), image


class FixedBatch(nn.Module):
    def forward(self, image):
        return image.reshape(2, -1)[:, :5]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out" / "victim.onnx"


def test_every_output_agrees_with_pytorch(small_cnn, images, target):
    report = export_victim(small_cnn, target, sample=images, stages=STAGES)
    assert [o.name for o in report.outputs] == ["logits", "stage1", "stage2"]
    assert [o.shape for o in report.outputs] == [(5,), (8, 8, 8), (12, 8, 8)]
    assert all(o.gap <= PARITY for o in report.outputs)
    assert (report.n_images, report.n_bytes) == (7, target.stat().st_size)
    answers = run(target.read_bytes(), images)
    with torch.no_grad():
        small_cnn.eval()
        stage1 = small_cnn.block1((torch.from_numpy(images) - 0.5) / 0.25)
        np.testing.assert_allclose(answers["logits"], small_cnn(torch.from_numpy(images)).numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(answers["stage1"], stage1.numpy(), rtol=1e-4, atol=1e-6)


def test_resnet18_agrees_with_pytorch(resnet, resnet_path, resnet_images):
    answers = run(resnet_path.read_bytes(), resnet_images, outputs=["logits"])
    with torch.no_grad():
        expected = resnet(torch.from_numpy(resnet_images)).numpy()
    assert np.abs(answers["logits"] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_batch_is_free(small_path, images):
    data = small_path.read_bytes()
    one, many = run(data, images[:1]), run(data, images, batch_size=7)
    assert many["logits"].shape == (7, 5)
    np.testing.assert_allclose(one["logits"], many["logits"][:1], rtol=1e-5, atol=1e-6)
    assert input_of(load_graph(small_path)).name == "image"


def test_mean_and_std_are_inside_the_graph(small_cnn, images, target):
    export_victim(small_cnn, target, sample=images, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    normalised = (images - np.float32([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)) / np.float32([0.5, 0.6, 0.7]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        expected = small_cnn.eval()(torch.from_numpy(normalised)).numpy()
    np.testing.assert_allclose(run(target.read_bytes(), images)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_modes_and_hooks_of_the_module_stay(small_cnn, images, target):
    small_cnn.train()
    small_cnn.block1.eval()
    export_victim(small_cnn, target, sample=images, stages=STAGES)
    assert small_cnn.training
    assert not small_cnn.block1[1].training
    assert small_cnn.block2[2].training
    assert not any(m._forward_hooks for m in small_cnn.modules())


def test_one_image_is_enough_of_a_sample(small_cnn, images, target):
    export_victim(small_cnn, target, sample=images[:1])
    assert run(target.read_bytes(), images)["logits"].shape == (7, 5)


@pytest.mark.parametrize("module", [NoisyWhenExported(), OtherWhenExported()], ids=["random", "other_when_exported"])
def test_parity_failure_names_output_and_amount_and_leaves_nothing(module, images, target):
    with pytest.raises(ParityError, match=r"logits by \d\.\d\de[-+]\d\d; at most 1e-04") as caught:
        export_victim(module, target, sample=images, stages={"stage1": "features"})
    assert "stage1" not in str(caught.value)
    assert not target.exists()
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_parity_failure_tells_the_true_amount(images, target):
    with pytest.raises(ParityError, match=r"logits by 2\.00e-02"):
        export_victim(OtherWhenExported(), target, sample=images)


def test_failed_export_keeps_the_older_file(small_cnn, images, target):
    export_victim(small_cnn, target, sample=images)
    before = target.read_bytes()
    with pytest.raises(ParityError):
        export_victim(OtherWhenExported(), target, sample=images)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_nan_is_no_parity(images, target, small_cnn):
    with torch.no_grad():
        small_cnn.head.bias[2] = float("nan")
    with pytest.raises(ParityError, match="logits by nan"):
        export_victim(small_cnn, target, sample=images)


def test_unknown_submodule_hears_the_nearest(small_cnn, images, target):
    with pytest.raises(ExportError, match=r"no submodule 'blok1'; did you mean 'block1'"):
        export_victim(small_cnn, target, sample=images, stages={"stage1": "blok1"})


def test_module_that_cannot_answer_the_sample_says_why(small_cnn, target):
    with pytest.raises(ExportError, match=r"cannot answer a sample of shape \(3, 4, 16, 16\): .*channels"):
        export_victim(small_cnn, target, sample=np.zeros((3, 4, 16, 16), np.float32))


def test_stage_name_has_a_number(small_cnn, images, target):
    with pytest.raises(ExportError, match="'early'; call it stage1"):
        export_victim(small_cnn, target, sample=images, stages={"early": "block1"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": ("a", "b", "c")}, "mean is .* it must be 3 numbers, one a channel, each finite"),
        ({"mean": (0.5, 0.5)}, "mean is .* it must be 3 numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "each finite"),
        ({"std": (1.0, 1.0, 0.0)}, "std is .* each greater than 0"),
    ],
)
def test_normalisation_is_a_number_a_channel_and_no_hook_stays(small_cnn, images, target, given, message):
    with pytest.raises(ExportError, match=message):
        export_victim(small_cnn, target, sample=images, stages={"stage1": "block1"}, **given)
    assert not any(m._forward_hooks for m in small_cnn.modules())


def test_stage_is_an_image(small_cnn, images, target):
    with pytest.raises(ExportError, match="stage1: the submodule does not return"):
        export_victim(small_cnn, target, sample=images, stages={"stage1": "head"})
    assert not any(m._forward_hooks for m in small_cnn.modules())


def test_module_returns_logits_alone(images, target):
    with pytest.raises(ExportError, match="returns tuple; it must return one tensor"):
        export_victim(TwoAnswers(), target, sample=images)


def test_module_that_fixes_its_batch_is_refused(images, target):
    with pytest.raises(ExportError, match=r"logits has shape \(4, 5\), PyTorch's \(2, 5\)"):
        export_victim(FixedBatch(), target, sample=images[:2])


@pytest.mark.parametrize(
    "sample", [np.zeros((3, 16, 16), np.float32), np.zeros((2, 3, 16, 16)), np.zeros((0, 3, 16, 16), np.float32)]
)
def test_sample_is_a_float32_batch(small_cnn, target, sample):
    with pytest.raises(ExportError, match="it must be \\(n, channels, height, width\\) float32"):
        export_victim(small_cnn, target, sample=sample)


def test_file_says_nothing_of_the_machine(resnet_path, small_path):
    for path in (resnet_path, small_path):
        data = path.read_bytes()
        for word in (b"site-packages", b"conftest.py", b"stack_trace", b"pkg.torch"):
            assert word not in data
