"""An evaluation's images: each victim's own, divided by what they are for, and the two sides of the out pool.

With the matched chain every image goes through it, in or out, training images as well: there is one world, in which file format
says little of where an image is from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.attacks.base import Attack, Pool
from evaluation.datasets import ImageSet
from evaluation.experiment_file import Experiment, Victim
from evaluation.matching import Matching, match_sets
from evaluation.pools import OutPools, load_pools, without
from guard.errors import ConfigError
from guard.types import Ints, Pixels, Reporter
from knockguard.experiment_victim import own_images

_AT_ONCE = 1024
_N_POOL_LEAST = 4_096  # for attacks that choose


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels (n, h, w, 3) uint8 and labels (n,) int64 by part; `history` says what they went through."""

    pixels: Mapping[str, Pixels]
    labels: Mapping[str, Ints]
    classes: tuple[str, ...]
    history: str

    def counts(self) -> dict[str, int]:
        """Return how many images each part has."""
        return {part: len(pixels) for part, pixels in self.pixels.items()}

    def pool(self, attack: Attack) -> Pool:
        """Return what an attack asks with; ConfigError if it needs images of the victim's own kind and the file gives none."""
        outside = self.pixels["pool"]
        if not attack.needs_inside:
            return Pool(outside, self.labels["pool"] if attack.needs_groups else None)
        if "adversary" not in self.pixels:
            raise ConfigError(
                f"the {attack.name} attack asks with the victim's own kind of image; give [victim.shares] adversary"
            )
        own = self.pixels["adversary"]
        groups = np.concatenate([np.zeros(len(own), np.int64), self.labels["pool"] + 1])
        return Pool(np.concatenate([own, outside]), groups)


def n_pool(experiment: Experiment) -> int:
    """Return how many images of the pool a thief may choose from, if it has as many."""
    return experiment.pool.attack_images or max(_N_POOL_LEAST, 2 * max(experiment.budgets, default=0))


def read_images(experiment: Experiment, victim: Victim, data: Path, *, seed: int, progress: Reporter) -> Images:
    """Read, divide and match; InvalidInputError if a set is missing or too small for its shares."""
    parts = own_images(victim, data, seed=seed)
    classes = parts["victim"].classes
    pools = load_pools(data, experiment.pool, seed=seed)
    parts["pool"] = pools.attack.sample(n_pool(experiment), seed=seed)
    fits = without(pools.detector, victim.own_kinds)
    if experiment.detectors or experiment.chain.matched:
        parts["out_fit"] = fits.sample(experiment.pool.n_fit, seed=seed)
    if victim.balance:
        parts["victim"] = parts["victim"].balanced(seed=seed)
    size = (victim.size, victim.size)
    matching = (
        match_sets(parts["detector"], parts["out_fit"], experiment.chain, size=size, seed=seed)
        if experiment.chain.matched
        else None
    )
    n, done = sum(map(len, parts.values())), 0
    pixels = {}
    for number, (name, images) in enumerate(sorted(parts.items())):
        pixels[name] = _through(images, matching, size=victim.size, seed=[seed, number])
        done += len(images)
        progress(done, n)
    fitted = f"; {len(parts['out_fit']):,} of {len(fits):,} out images fit a detector" if experiment.detectors else ""
    return Images(pixels, {k: v.labels for k, v in parts.items()}, classes, _history(matching, pools) + fitted)


def _through(images: ImageSet, matching: Matching | None, *, size: int, seed: list[int]) -> Pixels:
    if matching is None:
        return images.pixels(size)
    made = np.empty((len(images), size, size, 3), np.uint8)
    for start in range(0, len(images), _AT_ONCE):
        part = images.take(slice(start, start + _AT_ONCE)).decoded()
        one = int(np.random.default_rng([*seed, start]).integers(2**31))
        made[start : start + len(part)] = matching.apply(part, seed=one)
    return made


def _history(matching: Matching | None, pools: OutPools) -> str:
    told = "as they come, cut square" if matching is None else matching.describe()
    return f"{told}; pools {pools.origin}"
