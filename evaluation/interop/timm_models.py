"""timm's models as victims and surrogates: `timm/NAME` wherever an architecture is named, and the stages of a model at hand."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.interop.libraries import library
from evaluation.models import Architecture, Normalise
from guard.errors import ConfigError
from guard.registry import nearest


def timm_architecture(name: str) -> Architecture:
    """Return one of timm's models by timm's own name: fresh weights, its own mean and std in front; nothing is downloaded.

    ConfigError if timm knows no such model, or is not installed.
    """
    timm = library("timm", distribution="timm")
    if not timm.is_model(name):
        raise ConfigError(f"timm has no model {name!r}{nearest(name, timm.list_models())}")
    with torch.device("meta"):  # shapes without values: its stages, in no time
        stages = timm_stages(timm.create_model(name))

    def make(n_classes: int) -> nn.Module:
        model = timm.create_model(name, num_classes=n_classes)
        return nn.Sequential(Normalise(_config(model)["mean"], _config(model)["std"]), model)

    return Architecture(make, {stage: f"1.{path}" for stage, path in stages.items()})


def timm_stages(model: nn.Module) -> dict[str, str]:
    """Return stage1, ... -> paths of submodules, as `export_victim` takes them: where timm takes features itself, shallow first.

    Only (n, channels, height, width) tensors count: a vision transformer has none, and its heads read other taps. The model's
    mode is left as it was.
    """
    features = getattr(model, "feature_info", None) or ()
    modules = dict(model.named_modules())
    paths = [info["module"] for info in getattr(features, "info", features) if info["module"] in modules]
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = [modules[path].register_forward_hook(_keep(path, shapes)) for path in paths]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *_config(model)["input_size"], device=device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    # The picture is square, so the last two dimensions agree where channels come first; some models keep them last.
    maps = [path for path in paths if len(shapes.get(path, ())) == 4 and shapes[path][2] == shapes[path][3]]
    return {f"stage{i}": path for i, path in enumerate(maps, 1)}


def _keep(path: str, shapes: dict[str, tuple[int, ...]]) -> Callable[[nn.Module, object, object], None]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        shapes[path] = tuple(output.shape) if isinstance(output, Tensor) else ()

    return hook


def _config(model: Any) -> Mapping[str, Any]:
    """Return what timm knows of a model's pictures."""
    config: Mapping[str, Any] = model.pretrained_cfg
    return config
