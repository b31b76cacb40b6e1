"""Disguises: adversaries that ask otherwise, and leave to another what is made of the answers."""

from dataclasses import dataclass

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.adversaries.registry import ADVERSARIES
from evaluation.plugin_options import options_of
from evaluation.transfer import Queries, TransferSet


@dataclass(frozen=True, slots=True)
class Disguise(Adversary):
    """Everything as the adversary called `believes`, with its defaults, does it; a member says what is different.

    So disguises combine: `Sybil(believes="averaging")` asks near-duplicates from many clients.
    """

    believes: str = "soft"

    @property
    def behind(self) -> Adversary:
        """The adversary behind the disguise; ConfigError if there is none of that name."""
        return ADVERSARIES.get(self.believes)()

    @property
    def asking(self) -> str:
        return f"{self.name} {options_of(self, leave_out=('believes',))}, {self.behind.asking}"

    @property
    def n_copies(self) -> int:
        return self.behind.n_copies

    @property
    def n_clients(self) -> int:
        return self.behind.n_clients

    def expand(self, queries: Queries) -> Queries:
        return self.behind.expand(queries)

    def heard(self, asked: TransferSet) -> TransferSet:
        return self.behind.heard(asked)

    def prepare(self, stolen: TransferSet) -> Lesson:
        return self.behind.prepare(stolen)
