"""From a transfer set to the copy: an adversary's lesson, an architecture, and the one training loop."""

from dataclasses import dataclass, field

from torch import nn

from evaluation.adversaries.base import Adversary
from evaluation.models import build
from evaluation.training import Training, train
from evaluation.transfer import TransferSet
from guard.types import Reporter


@dataclass(frozen=True, slots=True)
class Student:
    """What the copy is made of. The adversary does not know the victim's architecture, and need not."""

    architecture: str = "cnn-small"
    training: Training = field(default_factory=Training)


def copy_victim(stolen: TransferSet, *, adversary: Adversary, student: Student, seed: int, progress: Reporter) -> nn.Module:
    """Return a surrogate trained on what `adversary` makes of the answers; the same arguments give the same copy.

    Whoever is left with fewer than two answers has learned nothing: the surrogate is then as it was built.
    """
    lesson = adversary.lesson(stolen)
    model = build(student.architecture, n_classes=stolen.n_classes, seed=seed)
    if len(lesson) < 2:
        return model.eval()
    return train(model, lesson.pixels, lesson.targets, training=student.training, seed=seed, progress=progress)
