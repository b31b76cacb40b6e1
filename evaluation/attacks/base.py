"""What an attack is: given a pool and the answers so far, what to ask next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from evaluation.plugin_options import options_of
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError, InvalidInputError
from guard.types import Ints, Pixels


@dataclass(frozen=True, slots=True)
class Pool:
    """Images that the adversary has, (n, h, w, 3) uint8, and where attacks need them their classes in the pool, `groups` (n,).

    Where an attack tells the victim's own kind of image from others, group 0 is the victim's own, unless options say otherwise.
    """

    pixels: Pixels
    groups: Ints | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != np.uint8 or not len(self.pixels):
            raise InvalidInputError(
                f"a pool of {self.pixels.shape} {self.pixels.dtype}; it must be (n, height, width, 3) uint8, n at least 1"
            )
        if self.groups is not None and self.groups.shape != self.pixels.shape[:1]:
            raise InvalidInputError(f"{len(self.pixels)} images and groups of {self.groups.shape}; give one for each image")

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Ints) -> Queries:
        """Return these rows as queries."""
        return Queries(self.pixels[rows], np.asarray(rows, np.int64))


@dataclass(frozen=True, slots=True)
class Turn:
    """One move: the pool, everything asked so far, at most how many to ask now, and the attack's seed, the same in every turn."""

    pool: Pool
    asked: TransferSet
    n_next: int
    seed: int

    def rng(self) -> np.random.Generator:
        """Return a generator of this turn's own, so that a turn which is repeated after a crash asks the same again."""
        return np.random.default_rng([self.seed, len(self.asked)])

    def unasked(self) -> Ints:
        """Return the rows of the pool that nobody asked about yet, in order."""
        free = np.ones(len(self.pool), np.bool_)
        sources = self.asked.queries.sources
        free[sources[sources >= 0]] = False
        return np.flatnonzero(free)


class Attack(ABC):
    """Hyper-parameters are the constructor's. An attack keeps nothing between turns: what it knows is in the turn.

    So an attack that was cut off goes on from its stored transfer set, and asks nothing twice. An attack writes `choose`, and
    callers use `next_queries`. It sees the victim through the answers alone.
    """

    name: ClassVar[str]
    needs_groups: ClassVar[bool] = False
    customary_adversary: ClassVar[str] = "soft"  # what its authors do with the answers; it composes with the others as well

    @property
    def needs_inside(self) -> bool:
        """Whether group 0 of its pool must be the victim's own kind of image."""
        return False

    @property
    def asking(self) -> str:
        """What tells its transfer sets from other attacks': those that ask alike say the same."""
        return f"{self.name} {options_of(self)}"

    @final
    def next_queries(self, turn: Turn) -> Queries:
        """Return at most `turn.n_next` queries of the pool's size; none when the attack has nothing left to ask.

        ConfigError when the pool lacks what this attack needs, InvalidInputError when turn and pool do not fit.
        """
        if turn.n_next < 1:
            raise InvalidInputError(f"{turn.n_next} queries were asked for; a turn has at least 1")
        if (self.needs_groups or self.needs_inside) and turn.pool.groups is None:
            raise ConfigError(f"the {self.name} attack needs a pool with classes, such as one folder a class; or use knockoff")
        size = turn.pool.pixels.shape[1:]
        if turn.asked.queries.pixels.shape[1:] != size:
            raise InvalidInputError(f"asked so far {turn.asked.queries.pixels.shape[1:]}, pool {size}; they must be of one size")
        if (turn.asked.queries.sources >= len(turn.pool)).any():
            raise InvalidInputError(
                f"asked so far was row {turn.asked.queries.sources.max()} of a pool, and this one has {len(turn.pool)}; "
                "go on with the pool that the attack began with"
            )
        chosen = self.choose(turn)
        if chosen.pixels.shape[1:] != size or len(chosen) > turn.n_next:
            raise InvalidInputError(
                f"the {self.name} attack chose {chosen.pixels.shape}; at most {turn.n_next} images of {size} may be asked"
            )
        return chosen

    @abstractmethod
    def choose(self, turn: Turn) -> Queries:
        """Return the next queries, from the pool (`turn.pool.take`) or made by the attack; inputs are left as they are."""
