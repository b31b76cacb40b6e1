"""What a store of allowances is: it counts the rows of each tenant, and takes some if all may be taken."""

from abc import ABC, abstractmethod
from typing import ClassVar

from guard.evidence.allowance import Allowance, Standing


class Store(ABC):
    """Lives in one event loop. Each call is atomic, whoever else counts there; StoreError if the store does not answer in time.

    A store may forget a tenant whose bucket is full again and whose window has ended: that is how one begins.
    """

    name: ClassVar[str]
    shared: ClassVar[bool]  # by all replicas that name the same place; else each process counts for itself

    @abstractmethod
    async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
        """Take rows from bucket and window, both or neither, as `guard.evidence.allowance.charged` does. 0 rows only look."""

    @abstractmethod
    async def give_back(self, tenant: str, rows: int, allowance: Allowance, *, window_end: float) -> None:
        """Give rows back to the window that they were taken from, if it still is the tenant's latest.

        `allowance` is what they were taken by, `window_end` what the store said then. The bucket bounds load, and keeps them.
        """

    @abstractmethod
    async def forget(self, tenant: str) -> bool:
        """Begin anew with a tenant; says whether anything was known."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""
