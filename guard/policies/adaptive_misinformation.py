"""Adaptive misinformation: the further a query is out, the more of its answer is a lie, and the same lie each time."""

from dataclasses import dataclass
from hashlib import shake_256
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Array, Floats


@dataclass(frozen=True, slots=True)
class AdaptiveMisinformation(Policy):
    """Blend (1 - a) of the victim's answer with a of a wrong one, where a = sigmoid(steepness * (score - threshold)).

    The paper trains a second network to be wrong, and blends by the victim's largest probability. Here the detector's score
    takes that probability's place, in its own unit; a row without a score, or with one that is no number, is all lie.
    The lie needs no network: the victim's values are dealt to other classes, never the largest to the victim's label. The
    deal is drawn from a secret and the victim's `region` most likely classes in order, so slight variants of an image get
    one lie, as they would from a network, and there is no noise to average.
    What differs: the lie is a function of that ranking, not of the image, so a client who knows the victim's own answer to one
    image of each region undoes it (k regions at 1, k (k - 1) at 2); the sorted values still say how sure the victim was;
    of two classes the lie is the opposite, as any lie is. Meant for all rows: then the sigmoid decides, not the flag.
    Source: Kariyappa & Qureshi 2020 (arXiv 1911.07100), section 4; the deal in place of the misinformation model is ours.
    """

    name: ClassVar[str] = "adaptive-misinformation"
    traits: ClassVar[Traits] = Traits(
        keeps_top_label=False,
        l1_budget=2.0,
        near_duplicates=NearDuplicates.KEYED_BY_REGION,
        needs_secret=True,
        looks_genuine=True,
    )
    steepness: float = 1000.0  # the paper's: nearly a switch
    region: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.steepness <= 1e6:
            raise ConfigError(f"adaptive-misinformation: steepness is {self.steepness}; it must be above 0 and at most 1e6")
        if not 1 <= self.region <= 5:
            raise ConfigError(
                f"adaptive-misinformation: region is {self.region}; it must be 1 to 5 (more, and variants fall apart)"
            )

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32."""
        lie_share = self._lie_share(rows)[:, None]
        return np.asarray((1.0 - lie_share) * rows.probabilities + lie_share * self._lies(rows), dtype=np.float32)

    def _lie_share(self, rows: Rows) -> Array:
        if rows.excess is None:
            return np.ones(len(rows.probabilities))
        exponent = np.clip(-self.steepness * rows.excess.astype(np.float64), -50.0, 50.0)
        return np.asarray(np.nan_to_num(1.0 / (1.0 + np.exp(exponent)), nan=1.0))

    def _lies(self, rows: Rows) -> Array:
        """Return (n, k): each row's values in another order, the largest never at the victim's label."""
        n, k = rows.probabilities.shape
        ranking = (-rows.probabilities).argsort(axis=1, kind="stable")[:, : self.region].astype("<u4")
        deal = np.empty((n, k), dtype=np.intp)
        for row, region in zip(deal, ranking, strict=True):
            row[:] = _deal(k, label=int(region[0]), seed=rows.model_key + region.tobytes())
        return np.take_along_axis(rows.probabilities, deal, axis=1)


def _deal(k: int, *, label: int, seed: bytes) -> Array:
    """Return a permutation of k classes that does not leave `label` in place, drawn from the seed."""
    noise = np.frombuffer(shake_256(seed).digest(8 * (k + 1)), dtype="<u8")
    order = noise[:k].argsort(kind="stable")
    if order[label] == label and k > 1:
        other = (label + 1 + int(noise[k] % (k - 1))) % k
        order[label], order[other] = order[other], order[label]
    return order
