"""The word `synthetic` in place of an out pool: images made from the in images, see `evaluation.synthetic`."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.synthetic import KINDS, make
from guard.preprocess import framed
from guard.types import Ints, Pixels, Reporter
from knockguard.pools import OUT_SPLIT, Source

SYNTHETIC = "synthetic"
_MOST_OWN = 400  # in images of a side that the others are made of
_MOST_SIDE = 256


def is_synthetic(source: Path) -> bool:
    """Return whether the word is meant and no folder or file of that name."""
    return str(source) == SYNTHETIC and not source.exists()


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A `Source` whose images are made as they are asked for: the same for the same seed and in images.

    `own` are in images by side: none that calibrates a threshold is among them. Whole kinds stand on one side, as classes do.
    """

    own: Mapping[str, Pixels]
    kinds: Mapping[str, tuple[str, ...]]
    n: Mapping[str, int]
    seed: int

    @classmethod
    def of(cls, inside: Source, *, n: int, seed: int, split: bool = False, without: Container[str] = ()) -> "Synthetic":
        """Return about n images on one side "all"; with `split` on "fit" and "test", of the in images that stand there.

        `without` are kinds that are left out of "all".
        """
        side = int(min(_MOST_SIDE, np.median(np.concatenate(list(inside.short_sides.values())))))
        if not split:
            return cls({"all": _own(inside, "all", side)}, {"all": tuple(k for k in KINDS if k not in without)}, {"all": n}, seed)
        order = [list(KINDS)[i] for i in np.random.default_rng(seed).permutation(len(KINDS))]
        n_fit = round(OUT_SPLIT.shares["fit"] * len(order))
        kinds = {"fit": tuple(order[:n_fit]), "test": tuple(order[n_fit:])}
        sizes = {name: round(share * n) for name, share in OUT_SPLIT.shares.items()}
        return cls({name: _own(inside, name, side) for name in kinds}, kinds, sizes, seed)

    @property
    def by_class(self) -> bool:
        return True

    @property
    def short_sides(self) -> Mapping[str, Ints]:
        return {name: np.full(n, self.own[name].shape[1], np.int64) for name, n in self.n.items()}

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        return {name: tuple(self._kind(name, row) for row in range(n)) for name, n in self.n.items()}

    def counts(self) -> dict[str, int]:
        """Return how many images each side has."""
        return dict(self.n)

    def files(self, _side: str, *, most: int) -> Iterator[bytes]:
        """Yield nothing: these images come from no file."""
        return iter(())

    def images(self, *, progress: Reporter, most: Mapping[str, int] | None = None) -> Iterator[tuple[str, int, Pixels]]:
        """Yield side, row and (h, w, 3) image, each drawn by a generator of its own; with `most` the first rows of some sides."""
        wanted = {name: n if most is None else min(n, most.get(name, 0)) for name, n in self.n.items()}
        done, total = 0, sum(wanted.values())
        for place, (name, n) in enumerate(wanted.items()):
            for row in range(n):
                yield name, row, make(self._kind(name, row), self.own[name], np.random.default_rng([self.seed, place, row]))
                done += 1
                progress(done, total)

    def _kind(self, name: str, row: int) -> str:
        return self.kinds[name][row % len(self.kinds[name])]


def _own(inside: Source, name: str, side: int) -> Pixels:
    found = inside.images(progress=_quiet, most={name: _MOST_OWN})
    return np.stack([framed(image, (side, side)) for _, _, image in found])


def _quiet(_done: int, _total: int) -> None:
    """These few are read beside the progress of the others."""
