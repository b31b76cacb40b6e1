"""torchvision's networks without their last layer, from a file of weights or ImageNet's, as branches."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from exporters.branch import Branch
from exporters.graph import load_graph
from exporters.torch_export import LOGITS, export_victim
from guard.errors import ConfigError
from guard.registry import nearest

_N_SAMPLE = 4


def features_of(backbone: str, *, weights: str, width: int | None = None) -> nn.Module:
    """Return a network whose last dense layer is gone, or is fresh with `width` outputs.

    `weights`: "imagenet" (torchvision downloads them once), "none", or a state dict's file, whose last layer is not needed.
    ConfigError if torchvision has no such network, or the weights cannot be had or are another network's.
    """
    from torchvision import models  # type: ignore[import-untyped]  # takes a second

    known = models.list_models(module=models)
    if backbone not in known:
        raise ConfigError(f"torchvision has no network {backbone!r}{nearest(backbone, known)}")
    if weights == "imagenet":
        try:
            model = models.get_model(backbone, weights="IMAGENET1K_V1")
        except OSError as error:
            raise ConfigError(
                f"the ImageNet weights of {backbone} cannot be had ({error}); fetch them where there is a network, and give the "
                "file as weights"
            ) from None
    else:
        model = models.get_model(backbone, weights=None)
    path, last = _last_dense(model, backbone)
    model.set_submodule(path, nn.Identity() if width is None else nn.Linear(last.in_features, width))
    if weights not in ("imagenet", "none"):
        _load(model, Path(weights), backbone, without=path)
    found: nn.Module = model.eval()
    return found


def branch_of(model: nn.Module, *, side: int) -> Branch:
    """Return a module from (n, 3, side, side) to (n, d) as a branch; ParityError or ExportError as `export_victim`."""
    sample = np.random.default_rng(0).normal(size=(_N_SAMPLE, 3, side, side)).astype(np.float32)
    with TemporaryDirectory(prefix="knockguard-") as folder:
        path = Path(folder) / "network.onnx"
        export_victim(model, path, sample=sample)
        return Branch(load_graph(path), LOGITS)


def _last_dense(model: nn.Module, backbone: str) -> tuple[str, nn.Linear]:
    dense = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise ConfigError(f"{backbone} ends in no dense layer; choose a network that does, such as resnet18")
    return dense[-1]


def _load(model: nn.Module, path: Path, backbone: str, *, without: str) -> None:
    """Load a file's tensors, in place, all but the last layer's; nothing of the file is run."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"cannot read the weights {path} ({error.strerror or error})") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{path} holds no state dict that is only tensors ({type(error).__name__}); save it with "
            "torch.save(model.state_dict(), FILE)"
        ) from None
    state = _state(found)
    if state is None:
        raise ConfigError(f"{path} holds a {type(found).__name__}; give a state dict: torch.save(model.state_dict(), FILE)")
    kept = {name: value for name, value in state.items() if not name.startswith(f"{without}.")}
    own = {name: value for name, value in model.state_dict().items() if not name.startswith(f"{without}.")}
    odd = sorted(own.keys() ^ kept.keys()) + sorted(n for n in own.keys() & kept.keys() if own[n].shape != kept[n].shape)
    if odd:
        raise ConfigError(f"{path} is not of {backbone}: {len(odd)} tensors do not fit, such as {odd[0]}; name its own backbone")
    model.load_state_dict(kept, strict=False)  # all but the last layer, as was just seen


def _state(found: object) -> dict[str, Tensor] | None:
    """Return the tensors of a state dict, of one inside a checkpoint, or of one that DataParallel saved."""
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        return None
    return {str(name).removeprefix("module."): value for name, value in found.items()}
