"""ActiveThief by uncertainty: ask where a copy trained so far does not know."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.informed import Informed, View
from guard.types import Ints


@dataclass(frozen=True, slots=True)
class ActiveThiefUncertainty(Informed):
    """Ask about the images whose expected answer has the highest entropy.

    The entropy is that of a rough copy's probabilities, in nats; the copy is trained in each turn from all answers so far.
    Source: Pal et al. 2020 (section 4.3, uncertainty strategy).
    """

    name: ClassVar[str] = "activethief-uncertainty"

    def pick(self, view: View, n: int) -> Ints:
        p = view.candidates.astype(np.float64)
        entropy = -(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(axis=1)
        return np.argsort(-entropy, kind="stable")[:n]
