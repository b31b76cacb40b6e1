"""What a policy is: from the victim's probabilities to the answer that a client gets, row by row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a policy answers: `probabilities` (n, k) float32, each row summing to 1, and one 32-byte key a row.

    The keys are HMACs of the canonical model input (`guard.rowkey`); they are empty unless the policy needs the secret.
    """

    probabilities: Floats
    row_keys: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Traits:
    """What a policy promises; a property test holds every policy to each of these.

    `keeps_top_label`: the largest entry stays where it was. `l1_budget`: the most that an answer moves, in L1 (2 is no bound).
    `needs_secret`: answers depend on a key. `looks_genuine`: an answer cannot be told from the victim's own by its form, so the
    policy may stand on flagged rows without telling the client that they are. `refuses`: there is no answer.
    """

    keeps_top_label: bool
    l1_budget: float
    needs_secret: bool = False
    looks_genuine: bool = False
    refuses: bool = False


class Policy(ABC):
    """Pure: no clock, no random state, nothing remembered between calls. Hyper-parameters are the constructor's."""

    name: ClassVar[str]
    traits: ClassVar[Traits]

    @abstractmethod
    def answer(self, rows: Rows) -> Floats:
        """Return a new (n, k) float32 array of rows that sum to 1 within 1e-5; n may be 0; inputs are left as they are."""
