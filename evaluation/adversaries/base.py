"""What an adversary is: from stolen answers to what its copy is trained on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from evaluation.transfer import TransferSet
from guard.errors import InvalidInputError
from guard.types import Floats, Pixels


@dataclass(frozen=True, slots=True)
class Lesson:
    """Images (n, h, w, 3) uint8 and targets (n, k) float32, each row a distribution."""

    pixels: Pixels
    targets: Floats

    def __len__(self) -> int:
        return len(self.targets)


class Adversary(ABC):
    """Composes with every attack: it sees the transfer set and nothing else. Hyper-parameters are the constructor's."""

    name: ClassVar[str]

    @final
    def lesson(self, stolen: TransferSet) -> Lesson:
        """Return what to train on; InvalidInputError if fewer than two rows are left, or a target is no distribution."""
        made = self.prepare(stolen)
        if len(made) < 2:
            raise InvalidInputError(
                f"{len(made)} of {len(stolen)} answers are left to learn from; at least 2 are needed, so ask more, or drop less"
            )
        if len(made.pixels) != len(made.targets) or not np.allclose(made.targets.sum(axis=1), 1, atol=1e-3):
            raise InvalidInputError(f"the {self.name} adversary made targets that are no distributions, one for each image")
        return made

    @abstractmethod
    def prepare(self, stolen: TransferSet) -> Lesson:
        """Return images and targets; rows may be dropped, repeated or changed, and the transfer set is left as it is."""
