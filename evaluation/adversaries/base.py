"""What an adversary is: how it asks what an attack chose, and what its copy is trained on.

An attack says *which* images; the adversary may ask about them otherwise (`expand`), several times over, and from several
clients (`client_of`), and shows the attack one answer for each image it chose (`heard`). These three are pure functions
of their arguments, whatever carries the attack out:

    queries = adversary.expand(attack.next_queries(Turn(pool, adversary.heard(asked), n_next // adversary.n_copies, seed)))
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from evaluation.transfer import Queries, TransferSet
from guard.errors import InvalidInputError
from guard.types import Floats, Ints, Pixels


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
        """Return what to train on, no row where every answer was refused or dropped; InvalidInputError for no distributions."""
        made = self.prepare(stolen)
        if len(made.pixels) != len(made.targets) or not np.allclose(made.targets.sum(axis=1), 1, atol=1e-3):
            raise InvalidInputError(f"the {self.name} adversary made targets that are no distributions, one for each image")
        return made

    @property
    def asking(self) -> str:
        """What tells its transfer sets from other adversaries': those that ask alike, whatever they believe, say the same."""
        return "asks plainly"

    @property
    def n_copies(self) -> int:
        """How many queries `expand` makes of one."""
        return 1

    @property
    def n_clients(self) -> int:
        """How many identities it asks with."""
        return 1

    def expand(self, queries: Queries) -> Queries:
        """Return what is asked in place of these queries: `n_copies` rows for each, side by side, of its size and source."""
        return queries

    def heard(self, asked: TransferSet) -> TransferSet:
        """Return what the attack is shown of everything asked so far: one row for each query that it chose, in order."""
        return asked

    def client_of(self, n_before: int, n: int) -> Ints:
        """Return which identity, 0 to n_clients - 1, asks each of `n` expanded queries, after `n_before`: (n,) in turn."""
        return np.arange(n_before, n_before + n) % self.n_clients

    @abstractmethod
    def prepare(self, stolen: TransferSet) -> Lesson:
        """Return images and targets; rows may be dropped, repeated or changed, and the transfer set is left as it is."""
