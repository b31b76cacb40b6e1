"""Selections: columns of a joined tensor. Heads read them one by one; a product with weights reads the whole at no further node.

On a network that answers in a tenth of a millisecond ONNX Runtime's price for each node shows, so what several taps need is
computed once, side by side, and a tap is a choice among its columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guard.types import Array


@dataclass(frozen=True, slots=True)
class Selection:
    """The columns `index` (d,), in that order, of `tensor` (n, width), in which they may stand anywhere."""

    tensor: str
    index: Array
    width: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the tensor as it stands."""
        return np.array_equal(self.index, np.arange(self.width))

    def weights(self, weights: Array) -> Array:
        """Return (width, k) weights by which the whole tensor's product is that of the selection with (d, k) `weights`."""
        spread = np.zeros((self.width, weights.shape[1]), weights.dtype)
        np.add.at(spread, self.index, weights)  # a column may be read twice
        return spread


def side_by_side(parts: Sequence[object]) -> Selection | None:
    """Return selections of one tensor as one selection, or None if they are no such thing."""
    selections = [part for part in parts if isinstance(part, Selection)]
    if not selections or len(selections) < len(parts) or len({part.tensor for part in selections}) > 1:
        return None
    first = selections[0]
    return Selection(first.tensor, np.concatenate([part.index for part in selections]), first.width)
