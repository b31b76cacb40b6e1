"""One training loop, read from top to bottom, for victims and surrogates, for hard labels and for soft ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from evaluation.optimiser import Optimiser
from guard.errors import ConfigError, InvalidInputError
from guard.types import Floats, Ints, Pixels, Reporter


@dataclass(frozen=True, slots=True)
class Training:
    """By default AdamW with a rate that rises to `lr` and falls to nothing over the whole run (Smith and Topin 2017).

    With `drop_every` the rate starts at `lr` and is multiplied by `drop_to` every so many epochs. `momentum` is SGD's.
    `flips`: batches are mirrored left to right, and top to bottom where `upside_down` says that there is no up.
    """

    epochs: int = 8
    lr: float = 3e-3
    weight_decay: float = 1e-3
    batch_size: int = 64
    flips: bool = True
    upside_down: bool = False
    optimiser: Optimiser = Optimiser.ADAMW
    momentum: float = 0.9
    drop_every: int | None = None
    drop_to: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or not self.lr > 0:
            raise ConfigError(
                f"epochs {self.epochs}, batch_size {self.batch_size}, lr {self.lr}: at least 1, at least 2 and above 0"
            )
        if (self.drop_every is not None and self.drop_every < 1) or not 0 < self.drop_to <= 1 or not 0 <= self.momentum < 1:
            raise ConfigError(
                f"drop_every {self.drop_every}, drop_to {self.drop_to}, momentum {self.momentum}: at least 1, above 0 and at "
                "most 1, at least 0 and below 1"
            )


def train(  # noqa: PLR0913  # what is learned from what, then how
    model: nn.Module, pixels: Pixels, targets: Floats | Ints, *, training: Training, seed: int, progress: Reporter
) -> nn.Module:
    """Train `model` in place and return it in eval mode, as it is after the last epoch: no test set is looked at.

    `pixels` (n, h, w, 3) uint8; `targets` (n,) int64 labels or (n, k) float32 probabilities, n at least 2. The order of batches
    and their flips depend on `seed` alone; batches go to wherever the model is. `progress` hears of every step.
    """
    check_targets(pixels, targets)
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(np.ascontiguousarray(targets))
    n_batches = max(1, len(x) // training.batch_size)  # the remainder joins the batches before it: none is left with one row
    n_steps = training.epochs * n_batches
    optimiser = _optimiser(model, training)
    schedule = _schedule(optimiser, training, n_batches)
    device = _device(model)
    step = 0
    model.train()
    for _ in range(training.epochs):
        order = torch.randperm(len(x), generator=generator)
        for rows in order.tensor_split(n_batches):
            images = _flip(to_inputs(x[rows].to(device)), training, generator)
            loss = cross_entropy(model(images), y[rows].to(device))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            step += 1
            progress(step, n_steps)
    return model.eval()


def predict(model: nn.Module, pixels: Pixels, *, batch_size: int = 256) -> Floats:
    """Return (n, k) float32 logits of (n, h, w, 3) uint8 pixels; the model is left in eval mode."""
    model.eval()
    with torch.inference_mode():
        parts = (torch.from_numpy(np.ascontiguousarray(part)) for part in _batches(pixels, batch_size))
        return torch.cat([model(to_inputs(part.to(_device(model)))).cpu() for part in parts]).numpy()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy against labels (n,) or probabilities (n, k)."""
    soft = one_hot(targets, logits.shape[1]) if targets.ndim == 1 else targets
    return -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean()


def to_inputs(pixels: Tensor) -> Tensor:
    """Return (n, 3, h, w) float32 in [0, 1] from (n, h, w, 3) uint8."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def check_targets(pixels: Pixels, targets: Floats | Ints) -> None:
    """InvalidInputError unless the targets fit the pixels."""
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise InvalidInputError(f"pixels are {pixels.shape} {pixels.dtype}; they must be (n, height, width, 3) uint8")
    if len(pixels) < 2 or len(pixels) != len(targets):
        raise InvalidInputError(f"{len(pixels)} images and {len(targets)} targets; there must be as many, at least 2")
    if (targets.ndim, targets.dtype) not in ((1, np.dtype(np.int64)), (2, np.dtype(np.float32))):
        raise InvalidInputError(f"targets are {targets.shape} {targets.dtype}; they must be (n,) int64 or (n, k) float32")
    if not np.isfinite(targets).all():
        raise InvalidInputError("some targets are not finite; leave those rows out")


def _optimiser(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    parameters, decay = model.parameters(), training.weight_decay
    if training.optimiser is Optimiser.SGD:
        return torch.optim.SGD(parameters, lr=training.lr, momentum=training.momentum, weight_decay=decay)
    kind = torch.optim.Adam if training.optimiser is Optimiser.ADAM else torch.optim.AdamW
    return kind(parameters, lr=training.lr, weight_decay=decay)


def _schedule(optimiser: torch.optim.Optimizer, training: Training, n_batches: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return what is stepped after each batch."""
    if training.drop_every is not None:
        return torch.optim.lr_scheduler.StepLR(optimiser, training.drop_every * n_batches, training.drop_to)
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, training.lr, total_steps=max(2, training.epochs * n_batches))


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _batches(pixels: Pixels, size: int) -> list[Pixels]:
    return [pixels[start : start + size] for start in range(0, max(1, len(pixels)), size)]


def _flip(images: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    for wanted, axis in ((training.flips, 3), (training.flips and training.upside_down, 2)):
        if wanted and torch.rand((), generator=generator) < 0.5:
            images = images.flip(axis)
    return images
