"""The few types that every room shares."""

from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]  # (n, height, width, 3), RGB
Array = NDArray[Any]


class ApplyTo(StrEnum):
    """Which rows a policy answers; the others get the victim's own answer."""

    FLAGGED = "flagged"
    ALL = "all"
    NOBODY = "nobody"


class Action(StrEnum):
    """What is decided for one row. A closed set: it is a metric label."""

    ANSWER = "answer"  # the victim's own answer
    ALTER = "alter"  # the policy's answer
    REFUSE = "refuse"  # no answer


class Reporter(Protocol):
    """Progress of long work: called with how much is done and how much there is."""

    def __call__(self, done: int, total: int, /) -> None: ...
