"""What a policy is: from the victim's probabilities to the answer that a client gets, row by row."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a policy answers: `probabilities` (n, k) float32, each row summing to 1, and one 32-byte key a row.

    The keys are HMACs of the canonical model input (`guard.rowkey`); they are empty unless the policy is keyed by image.
    `model_key` is one key for all rows of a model, empty unless the policy needs the secret. `excess` (n,) float32 is the
    deciding score less its threshold, in the detector's own unit: greater than 0 is flagged. None where no score was given.
    """

    probabilities: Floats
    row_keys: Sequence[bytes]
    excess: Floats | None = None
    model_key: bytes = b""


class NearDuplicates(StrEnum):
    """What a client learns who sends one image in many slight variants and averages the answers."""

    DETERMINISTIC = "deterministic"  # a function of the probabilities alone: no randomness that averages out
    KEYED_BY_IMAGE = "keyed-by-image"  # each variant has a key of its own: noise that averages out
    KEYED_BY_REGION = "keyed-by-region"  # a secret, and what the victim ranks highest: variants agree while that ranking stays
    NO_ANSWER = "no-answer"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a policy promises; a property test holds every policy to each of these.

    `keeps_top_label`: the largest entry stays where it was. `l1_budget`: the most that an answer moves, in L1 (2 is no bound),
    whatever the options. `near_duplicates`: what averaging over slight variants of an image yields.
    `needs_secret`: answers depend on a key. `looks_genuine`: an answer cannot be told from the victim's own by its form, so the
    policy may stand on flagged rows without telling the client that they are. `refuses`: there is no answer.
    """

    keeps_top_label: bool
    l1_budget: float
    near_duplicates: NearDuplicates
    needs_secret: bool = False
    looks_genuine: bool = False
    refuses: bool = False


class Policy(ABC):
    """Pure: no clock, no random state, nothing remembered between calls. Hyper-parameters are the constructor's."""

    name: ClassVar[str]
    traits: ClassVar[Traits]

    @property
    def l1_budget(self) -> float:
        """The most that an answer of this very policy moves, in L1: at most the trait, less where an option bounds it."""
        return self.traits.l1_budget

    @abstractmethod
    def answer(self, rows: Rows) -> Floats:
        """Return a new (n, k) float32 array of rows that sum to 1 within 1e-5; n may be 0; inputs are left as they are."""
