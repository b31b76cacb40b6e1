"""Shuffle: a flagged answer keeps its values and loses their order."""

from dataclasses import dataclass
from hashlib import shake_256
from typing import ClassVar

import numpy as np

from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Shuffle(Policy):
    """Permute the probabilities, the same way whenever the same image is sent.

    Where the top label lands says nothing of the class; the sorted values still tell how sure the victim was.
    Near-duplicates have keys of their own, so a client who sends one image in many slight variants sees the answers jump,
    and can discard them: averaged, they are nearly even, and the label is not among them.
    Source: Atli et al., answer to flagged queries (table 5); the keying is ours.
    """

    name: ClassVar[str] = "shuffle"
    traits: ClassVar[Traits] = Traits(
        keeps_top_label=False, l1_budget=2.0, near_duplicates=NearDuplicates.KEYED_BY_IMAGE, needs_secret=True, looks_genuine=True
    )

    def answer(self, rows: Rows) -> Floats:
        """Return a new (n, k) float32 array, each row a permutation; n may be 0."""
        n_classes = rows.probabilities.shape[1]
        order = np.empty(rows.probabilities.shape, dtype=np.intp)
        for row, key in zip(order, rows.row_keys, strict=True):
            # Not numpy's shuffle: its stream may change with a release, and so would answers.
            noise = np.frombuffer(shake_256(key).digest(8 * n_classes), dtype="<u8")
            row[:] = noise.argsort(kind="stable")
        return np.take_along_axis(rows.probabilities, order, axis=1)
