"""What the victim is worth, measured before anything is spent: as a client meets it, and unguarded if its bundle is there."""

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from evaluation.bootstrap import accuracy_interval
from evaluation.metrics import balanced_accuracy, by_class, hits
from evaluation.results import VictimResult
from evaluation.target import Target
from exporters.runtime import run
from guard.bundle import load_bundle
from guard.errors import ConfigError, InvalidInputError
from guard.preprocess import image_size, to_inputs
from guard.types import Bools, Floats, Ints, Pixels
from guard.whole import write_whole

_SAME = 0.05  # an answer that moves by more was given by another model or policy, not by another batch
_MAX_MOVED = 0.01


@dataclass(frozen=True, slots=True)
class MeasuredVictim:
    """`through_guard` (n, k): the endpoint's answers to the test images. `unguarded` (n, k): the bundle's model's own."""

    through_guard: Floats
    unguarded: Floats | None
    labels: Ints

    @property
    def chance(self) -> float:
        """One over the number of classes."""
        return 1 / float(self.through_guard.shape[1])

    @property
    def hits(self) -> Bools:
        """Whether each test image gets its label, unguarded where that is known; a refused row is a wrong one."""
        return hits(self._answers(), self.labels)

    @property
    def accuracy(self) -> float:
        """Balanced accuracy of `hits`."""
        return balanced_accuracy(self._answers(), self.labels)

    @property
    def n_refused(self) -> int:
        """How many test images the endpoint refused."""
        return int((self.through_guard.sum(axis=1) <= 0).sum())

    def check(self) -> None:
        """InvalidInputError if there is nothing to measure a copy against."""
        if self.n_refused == len(self.labels):
            raise InvalidInputError(f"the endpoint refused all {len(self.labels)} test images; there is nothing to steal")
        if self.accuracy <= 0:
            raise InvalidInputError(
                f"the victim got none of {len(self.labels)} test images right; check that --test has its classes, in sorted order"
            )

    def result(self) -> VictimResult:
        """Return what goes into the results."""
        guarded = self.unguarded is None
        return VictimResult(
            accuracy=self.accuracy,
            interval=accuracy_interval(self.hits, self.labels, seed=0),
            chance=self.chance,
            n_test=len(self.labels),
            architecture="as served, through its guard" if guarded else "the bundle's model, without its guard",
            recalls=by_class(self._answers(), self.labels)[: self.through_guard.shape[1]],
            through_guard=guarded,
        )

    def benign_accuracy(self) -> float:
        """Return the balanced accuracy of what a customer gets."""
        return balanced_accuracy(self._served(), self.labels)

    def benign_interval(self) -> tuple[float, float]:
        """Return its interval."""
        return accuracy_interval(hits(self._served(), self.labels), self.labels, seed=0)

    def _answers(self) -> Floats:
        """Return what the victim is measured by."""
        return self._served() if self.unguarded is None else self.unguarded

    def _served(self) -> Floats:
        """Return the answers with a class that no image has, and that refused rows are put into."""
        refused = (self.through_guard.sum(axis=1) <= 0).astype(np.float32)
        return np.column_stack([self.through_guard, refused])


def unguarded(bundle: Path, target: Target, pixels: Pixels) -> Floats:
    """Return the probabilities (n, k) that a bundle's model gives, run here; ConfigError if it is not the endpoint's model."""
    loaded = load_bundle(bundle)
    spec, labels = loaded.manifest.input, loaded.manifest.labels
    if (image_size(spec), len(labels), loaded.manifest.name) != (target.size, target.n_classes, target.model):
        raise ConfigError(
            f"{bundle} is {loaded.manifest.name!r}, {len(labels)} classes at {image_size(spec)}, and the endpoint's model is "
            f"{target.model!r}, {target.n_classes} at {target.size}; give the bundle that is served, or leave --bundle out"
        )
    return run(loaded.model, to_inputs(pixels, spec), outputs=(loaded.manifest.output,))[loaded.manifest.output]


def check_same(path: Path, now: Floats) -> None:
    """ConfigError if the endpoint answers its test images otherwise than when they were kept at `path`; keeps them if none were.

    An attack that goes on must meet the same model under the same policy, and neither can be asked for.
    """
    if not path.exists():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, answers=now)
        write_whole(path, buffer.getvalue())
        return
    try:
        with np.load(path, allow_pickle=False) as file:
            before = file["answers"]
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}); --force asks anew") from None
    if before.shape != now.shape:
        raise ConfigError(f"{path} holds answers to other test images; give those, or --force to ask anew")
    moved = float((np.abs(before - now).max(axis=1) > _SAME).mean())
    if moved > _MAX_MOVED:
        raise ConfigError(
            f"the endpoint answers {moved:.1%} of the test images otherwise than when this attack began ({path}), so its "
            "model or its policy is another one; give another folder, or --force to ask anew"
        )
