"""The images of a study by world: as they come, and after the matched chain. In each, fitting, calibration and test go alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.detection_study import AS_THEY_COME, MATCHED
from evaluation.experiment_file import ChainPlan
from evaluation.groups import Groups
from evaluation.matching import match_sets
from evaluation.pools import OutPools
from guard.chain import Chain
from guard.history import History, Kernel
from guard.preprocess import framed
from guard.types import Ints, Pixels
from knockguard.study_victim import Sides

_Through = Callable[[list[Pixels], int], Pixels]  # images in their own sizes and a seed -> pixels at the model's
_N_PROBED = 3_000  # in images that tell what a stage reads
_N_ADVERSARY = 500  # in images that dress queries up
_HARSH = (40, 95)  # JPEG qualities of the varied chain


@dataclass(frozen=True, slots=True)
class World:
    """Pixels at the model's size, (n, h, w, 3) uint8; `classes` names each in image that fits, and `varied_*` are the
    fitting images under many histories, if any. `groups` has, for each pool, what of the tests belongs together."""

    name: str
    in_fit: Pixels
    out_fit: Pixels
    labels: Ints
    classes: tuple[str, ...]
    calibration: Pixels
    in_test: Pixels
    test_labels: Ints
    out_tests: Mapping[str, Pixels]
    groups: Mapping[str, Groups]
    varied_in: Pixels | None
    varied_out: Pixels | None


class Worlds:
    """Decodes once and makes worlds of it. Every draw has a seed of its own, so each world's images are the same in every run.

    At most `n_fit` images of either side fit detectors.
    """

    def __init__(self, sides: Sides, pools: OutPools, plan: ChainPlan, *, size: int, n_fit: int, seed: int) -> None:  # noqa: PLR0913  # what is divided, then how
        self._size, self._seed = (size, size), seed
        self._in_fit = sides.detector.sample(n_fit, seed=seed)
        self._test = sides.test
        out_fit = pools.detector.sample(n_fit, seed=seed)
        named = {"near": pools.near, "far": pools.far, "second": pools.second}
        self._images = {"in_fit": self._in_fit.decoded(), "out_fit": out_fit.decoded()}
        self._images |= {"calibration": sides.calibration.decoded(), "in_test": sides.test.decoded()}
        self._groups = {n: Groups(sides.test.shared_groups, p.shared_labels) for n, p in named.items() if p is not None}
        self._tests = {name: pool.decoded() for name, pool in named.items() if pool is not None and len(pool)}
        self._adversary = [] if sides.adversary is None else sides.adversary.sample(_N_ADVERSARY, seed=seed).decoded()
        self.matching = match_sets(self._in_fit, out_fit, plan, size=self._size, seed=seed)

    def counts(self) -> dict[str, int]:
        """Return how many images each part has."""
        return {name: len(images) for name, images in (*self._images.items(), *self._tests.items())}

    def matched(self) -> World:
        """Return the world after the matched chain, with its fitting images under many histories beside it."""
        rng = np.random.default_rng([self._seed, 7])
        varied = [self._varied(self._images[name], rng) for name in ("in_fit", "out_fit")]
        return self._world(MATCHED, self.chained, (varied[0], varied[1]))

    def as_they_come(self) -> World:
        """Return the world in which images are only cut square and resized."""
        return self._world(AS_THEY_COME, lambda images, _: self.plain(images), (None, None))

    def chained(self, images: list[Pixels], seed: int) -> Pixels:
        """Return images after the matched chain."""
        return self.matching.apply(images, seed=seed)

    def plain(self, images: list[Pixels]) -> Pixels:
        """Return images at the model's size."""
        return np.stack([framed(image, self._size) for image in images])

    def in_tests(self) -> Pixels:
        """Return the in images that test, as customers send them."""
        return self.plain(self._images["in_test"])

    def adversary(self) -> Pixels | None:
        """Return in images that a thief has, after the matched chain; None where the file gives him none."""
        return self.chained(self._adversary, self._seed + 9) if self._adversary else None

    def probes(self) -> dict[str, tuple[Pixels, Pixels]]:
        """Return pairs of in images that differ in a trace and in nothing that they show: (fitting half of each, test half).

        Each element is (a, b); a detector of content can't tell a from b. The images of a and b are different ones.
        """
        images = self.matching.history.apply(self._images["in_fit"][:_N_PROBED])
        side, size = self.matching.chain.side, self._size
        pairs = {
            "codec": (Chain(side, size, (70, 70)), Chain(side, size, (95, 95))),
            "resolution": (Chain(side, size), Chain(int(0.75 * side), size)),
        }
        return {
            name: (a.apply(images[::2], seed=self._seed), b.apply(images[1::2], seed=self._seed))
            for name, (a, b) in pairs.items()
        }

    def _world(self, name: str, through: _Through, varied: tuple[Pixels | None, Pixels | None]) -> World:
        made = {part: through(images, self._seed + i) for i, (part, images) in enumerate(self._images.items())}
        tests = {pool: through(images, self._seed + 4 + i) for i, (pool, images) in enumerate(self._tests.items())}
        return World(
            name,
            made["in_fit"],
            made["out_fit"],
            self._in_fit.labels,
            tuple(self._in_fit.classes[label] for label in self._in_fit.labels),
            made["calibration"],
            made["in_test"],
            self._test.labels,
            tests,
            self._groups,
            *varied,
        )

    def _varied(self, images: list[Pixels], rng: np.random.Generator) -> Pixels:
        """Return each image under a history of its own: any filter, any side from half the chain's, qualities 40 to 95."""
        history, chain = self.matching.history, self.matching.chain
        kernels = list(Kernel)
        drawn = zip(
            rng.integers(len(kernels), size=len(images)),
            rng.integers(chain.side // 2, chain.side + 1, size=len(images)),
            rng.integers(_HARSH[0], _HARSH[1] + 1, size=len(images)),
            strict=True,
        )
        rows = []
        for image, (kernel, side, quality) in zip(images, drawn, strict=True):
            before = History(history.side, kernels[kernel], history.quality).apply([image])
            rows.append(Chain(int(side), self._size, (int(quality), int(quality))).apply(before, seed=0)[0])
        return np.stack(rows)
