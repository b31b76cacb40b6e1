"""Sketches: a rough copy of the victim, drawn in seconds from what was asked so far, to choose or to judge answers by."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from evaluation.adversaries.soft import Soft
from evaluation.models import build
from evaluation.training import Training, predict, train
from evaluation.transfer import Queries, TransferSet
from guard.types import Floats, Pixels

LEAST_STEPS = 100  # an attack's: its first answers fill too few batches for a copy to learn from in any usual number of epochs


@dataclass(frozen=True, slots=True)
class Sketch:
    """How a rough copy is trained: `epochs` over every answer, `least_steps` steps at least, each answer believed as it came.

    Of more than `n_most` answers as many are drawn at random.
    """

    epochs: int = 5
    least_steps: int = 1
    n_most: int | None = None
    architecture: str = "cnn-small"

    def draw(self, asked: TransferSet, *, seed: int, flips: float = 0.0) -> nn.Module | None:
        """Return the copy in eval mode, or None while fewer than two answers say anything. A function of its arguments alone.

        `flips`: the share of answers, below 1, that are believed to have been drawn evenly; the copy is fitted through them.
        """
        if self.n_most is not None and len(asked) > self.n_most:
            asked = rows_of(asked, np.sort(np.random.default_rng(seed).permutation(len(asked))[: self.n_most]))
        lesson = Soft().prepare(asked)
        if len(lesson) < 2:
            return None
        model = build(self.architecture, n_classes=asked.n_classes, seed=seed)
        n_batches = max(1, len(lesson) // Training().batch_size)
        training = Training(epochs=max(self.epochs, -(-self.least_steps // n_batches)))
        fitted = Flipped(model, flips) if flips else model
        train(fitted, lesson.pixels, lesson.targets, training=training, seed=seed, progress=_unheard)
        return model.eval()


class Flipped(nn.Module):
    """Forward correction: what a model would answer if a share of its answers were replaced by even draws, as logarithms.

    Source: Patrini et al. 2017 (theorem 2), with one flip rate as the whole transition matrix.
    """

    def __init__(self, model: nn.Module, flips: float) -> None:
        super().__init__()
        self.model, self.flips = model, flips

    def forward(self, x: Tensor) -> Tensor:
        true: Tensor = self.model(x).softmax(dim=1)
        return ((1 - self.flips) * true + self.flips / true.shape[1]).log()


def rows_of(asked: TransferSet, rows: np.ndarray) -> TransferSet:
    """Return some rows of a transfer set, by index or mask."""
    return TransferSet(Queries(asked.queries.pixels[rows], asked.queries.sources[rows]), asked.answers[rows])


def expect(model: nn.Module, pixels: Pixels) -> Floats:
    """Return the (n, k) float32 probabilities that a model gives to (n, h, w, 3) uint8 pixels; n may be 0."""
    logits = predict(model, pixels)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def _unheard(done: int, total: int, /) -> None:
    """A sketch takes too little time to be told about."""
