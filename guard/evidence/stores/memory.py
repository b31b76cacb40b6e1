"""MemoryStore: counts in this process, for this process alone."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import ClassVar

from guard.evidence.allowance import Account, Allowance, Standing, charged
from guard.evidence.stores.base import Store


class MemoryStore(Store):
    """Forgets with the process. Bounded: past `max_tenants`, who was idle longest begins anew."""

    name: ClassVar[str] = "memory"
    shared: ClassVar[bool] = False

    def __init__(self, *, max_tenants: int = 1 << 16, clock: Callable[[], float] = time) -> None:
        """`clock` tells seconds since 1970."""
        self._max_tenants = max_tenants
        self._clock = clock
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
        account, standing = charged(self._accounts.get(tenant), rows, allowance, self._clock())
        if rows:
            self._accounts[tenant] = account
            self._accounts.move_to_end(tenant)
            if len(self._accounts) > self._max_tenants:
                self._accounts.popitem(last=False)
        return standing

    async def give_back(self, tenant: str, rows: int, allowance: Allowance, *, window_end: float) -> None:
        account = self._accounts.get(tenant)
        if account is not None and account.window + allowance.window_s == window_end:
            self._accounts[tenant] = replace(account, used=max(0, account.used - rows))

    async def forget(self, tenant: str) -> bool:
        return self._accounts.pop(tenant, None) is not None

    async def close(self) -> None:
        """Nothing is held."""
