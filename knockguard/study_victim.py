"""A study's victim: trained and exported once, kept by what it was made from."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from evaluation.datasets import ImageSet
from evaluation.experiment_file import Victim
from evaluation.models import architecture, build, placed
from exporters.graph import load_graph
from exporters.taps import Taps, find_taps
from exporters.torch_export import export_victim
from guard.bundle import InputSpec
from guard.preprocess import to_inputs
from guard.types import Reporter
from guard.whole import write_whole
from knockguard.experiment_victim import N_SAMPLE, own_images, spec_of, trained_network


@dataclass(frozen=True, slots=True)
class Sides:
    """The victim's own images by what they are for; no image and no group of images is on two sides."""

    victim: ImageSet
    detector: ImageSet
    calibration: ImageSet
    adversary: ImageSet | None
    test: ImageSet


@dataclass(frozen=True, slots=True)
class Served:
    """The exported victim, where heads may read in it, how it takes images, and the file of its weights."""

    model: onnx.ModelProto
    taps: Taps
    spec: InputSpec
    architecture: str
    weights: Path

    def module(self) -> nn.Module:
        """Return the network as PyTorch trained it, for what needs more than answers."""
        model = build(self.architecture, n_classes=self.taps.n_classes, seed=0)
        model.load_state_dict(torch.load(self.weights, weights_only=True))
        return placed(model).eval()


def load_sides(victim: Victim, data: Path, *, seed: int) -> Sides:
    """Return the victim's own images, divided as its file says."""
    parts = own_images(victim, data, seed=seed)
    return Sides(parts["victim"], parts["detector"], parts["calibration"], parts.get("adversary"), parts["test"])


def served_victim(  # noqa: PLR0913  # the victim and its images, then where it is kept and how it is made
    victim: Victim, sides: Sides, path: Path, *, fresh: bool, seed: int, progress: Reporter
) -> Served:
    """Return the victim of a path, trained unless it is there or `fresh`; ConfigError if its first weights are not to be had."""
    if fresh or not (path.is_file() and path.with_suffix(".pth").is_file()):
        _make(victim, sides.victim, path, seed=seed, progress=progress)
    model = load_graph(path)
    return Served(model, find_taps(model), spec_of(victim), victim.architecture, path.with_suffix(".pth"))


def _make(victim: Victim, images: ImageSet, path: Path, *, seed: int, progress: Reporter) -> None:
    if victim.balance:
        images = images.balanced(seed=seed)
    pixels = images.pixels(victim.size)
    model = trained_network(victim, pixels, images.labels, n_classes=images.n_classes, seed=seed, progress=progress).to("cpu")
    sample = to_inputs(pixels[:N_SAMPLE], spec_of(victim))
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    write_whole(path.with_suffix(".pth"), weights.getvalue())
    export_victim(model, path, sample=np.ascontiguousarray(sample), stages=architecture(victim.architecture).stages)
