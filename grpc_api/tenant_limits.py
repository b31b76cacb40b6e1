"""TenantLimits: how many rows a tenant may have answered. Asked once a request, before its pixels are read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from math import ceil
from typing import TypeVar

import structlog

from grpc_api.allowances import Allowances
from grpc_api.breaker import Patience
from grpc_api.dependency import Dependency, Fault
from grpc_api.failing import FailMode
from grpc_api.repeats import Repeats
from grpc_api.telemetry import Metrics
from grpc_api.tenant_metrics import TenantMetrics
from grpc_api.tenant_settings import TenantLimitSettings
from grpc_api.watched import Watched
from guard.errors import DeadlineError, InvalidInputError, QuotaExceededError, RequestError, StoreError
from guard.evidence.allowance import Allowance, Bound, Standing
from guard.evidence.stores.base import Store

T = TypeVar("T")
log = structlog.get_logger()

_PATIENCE = Patience(failures=3, first_s=0.5, longest_s=5.0)  # a quota is little to lose for so long, a store's timeouts are many
_MAX_REASON = 300  # characters
_MAX_NAMED = 20


class TenantLimits:
    """Counts by the store and goes by the allowances, which may change at any time. Lives in one event loop."""

    def __init__(
        self,
        allowances: Callable[[], Allowances],
        store: Store,
        metrics: TenantMetrics,
        *,
        on_store_failure: FailMode,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`known` are the tenants that there are."""
        self._allowances = allowances
        self._store = store
        self._metrics = metrics
        self._mode = on_store_failure
        self._known = known
        self.health = Dependency("store", _PATIENCE, mode=on_store_failure, store=store.name)
        self._repeats = Repeats()

    @property
    def tenants(self) -> list[str]:
        """All who may ask."""
        return sorted(self._known())

    @property
    def store(self) -> str:
        """The name of what counts."""
        return self._store.name

    @property
    def shared(self) -> bool:
        """Whether all processes count together."""
        return self._store.shared

    def allowance(self, tenant: str) -> Allowance:
        """What a tenant may ask for now."""
        return self._allowances().of(tenant)

    @asynccontextmanager
    async def taken(self, tenant: str, rows: int) -> AsyncIterator[None]:
        """Take a request's rows, and let the block answer them.

        QuotaExceededError over the rate or the quota; InvalidInputError for more rows than could ever be had at once; StoreError
        if the store is away and that closes. What is not answered by no fault of the caller's is given back to the quota.
        """
        allowance = self.allowance(tenant)
        counted = None if allowance.bounds_nothing or rows == 0 else await self._take(tenant, rows, allowance)
        try:
            yield
        except Exception as error:
            if counted is not None and allowance.quota_rows is not None and not _is_callers(error):
                window_end = counted.window_end
                with suppress(StoreError):
                    await self._asked(lambda: self._store.give_back(tenant, rows, allowance, window_end=window_end))
            raise

    async def standing(self, tenant: str) -> Standing:
        """Return how a tenant stands, and take nothing; StoreError if the store is away."""
        return await self._store.take(tenant, 0, self.allowance(tenant))

    async def forget(self, tenant: str) -> bool:
        """Let a tenant begin anew; says whether anything was counted. StoreError if the store is away."""
        return await self._store.forget(tenant)

    async def check(self) -> None:
        """Say in the log if the store does not answer: a wrong password is better known at the start."""
        try:
            await self._asked(lambda: self._store.take("", 0, self._allowances().default))
        except StoreError as error:
            self._tell(error)

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def _take(self, tenant: str, rows: int, allowance: Allowance) -> Standing | None:
        """Return how the tenant stands with the rows counted, None if they were not; raise if they may not be answered."""
        largest = allowance.largest_request
        if largest is not None and rows > largest:
            self._metrics.refused(tenant, Bound.SIZE)
            raise InvalidInputError(
                f"{rows} rows in one request, where {_limit(allowance, largest)}; send several smaller requests"
            )
        try:
            standing = await self._asked(lambda: self._store.take(tenant, rows, allowance))
        except StoreError as error:
            if self._mode is FailMode.CLOSED:
                raise
            self._tell(error)
            return None
        used = 0.0 if allowance.quota_rows is None else standing.used / allowance.quota_rows
        self._metrics.asked(tenant, used, standing.window_end)
        if standing.refused_by is not None:
            self._metrics.refused(tenant, standing.refused_by)
            raise _refusal(tenant, rows, allowance, standing)
        return standing

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the store's answer; StoreError if there is none, or if it is left alone because there was none for a while."""
        ticket = self.health.enter() or self.health.probe()
        try:
            if ticket is None:
                raise StoreError("rows cannot be counted now; try again shortly")
            answer = await ask()
        except StoreError as error:
            if ticket is not None:
                self.health.failed(_fault(error), ticket, _reason(error))
            self._metrics.store_failed()
            error.retry_after_s = max(self.health.retry_after_s, _PATIENCE.first_s)
            raise
        self.health.succeeded(ticket)
        return answer

    def _tell(self, error: StoreError) -> None:
        """Log, once in a while, what is passed over; what a query fails by is logged where all such errors are."""
        reason = _reason(error)
        untold = self._repeats.untold(reason)
        if untold is not None:
            log.error("limit_store_failed", store=self._store.name, reason=reason, mode=self._mode.value, since_last_told=untold)


def open_tenant_limits(
    settings: TenantLimitSettings, metrics: Metrics, known: Callable[[], Iterable[str]]
) -> TenantLimits | None:
    """Return the limits that a gateway was told, None without any; ConfigError says what is wrong with file or store.

    `known` are the tenants that there are: a limit of somebody else is told in the log, since it may be a slip.
    """
    if (file := settings.file) is None:
        return None

    def read() -> Allowances:
        allowances = Allowances.read(file)
        if nobodys := sorted(allowances.tenants.keys() - set(known())):
            log.warning("limits_of_nobody", tenants=nobodys[:_MAX_NAMED], advice="no caller is told apart as one of them")
        return allowances

    watched = Watched((file,), read)
    store = settings.open_store()
    counted = TenantMetrics(metrics, store.name, settings.on_store_failure)
    limits = TenantLimits(lambda: watched.value, store, counted, on_store_failure=settings.on_store_failure, known=known)
    metrics.dependencies.watch("", "", (limits.health,))  # of no model by itself
    return limits


def _fault(error: StoreError) -> Fault:
    match error.__cause__:
        case TimeoutError():
            return Fault.TIMEOUT
        case ValueError() | TypeError():
            return Fault.GARBAGE
        case _:
            return Fault.ERROR


def _reason(error: StoreError) -> str:
    cause = error.__cause__
    if cause is None:
        return "it is left alone for a while"
    return f"{type(cause).__name__}: {cause}".partition("\n")[0][:_MAX_REASON]


def _is_callers(error: Exception) -> bool:
    """Whether it is the caller's own doing that there is no answer."""
    return isinstance(error, DeadlineError | RequestError) and not isinstance(error, QuotaExceededError)


def _limit(allowance: Allowance, largest: int) -> str:
    """Return the words for what no request may pass."""
    if allowance.rows_per_s is not None and largest == allowance.burst_rows:
        return f"a burst has at most {largest}"
    return f"the quota is {largest} in {allowance.window_s / 3600:g} h"


def _refusal(tenant: str, rows: int, allowance: Allowance, standing: Standing) -> QuotaExceededError:
    wait_s = ceil(standing.wait_s * 1000) / 1000  # never a moment too early
    if standing.refused_by is Bound.RATE:
        why = f"{rows} rows asked for and {int(standing.tokens)} to be had at {allowance.rows_per_s:g} rows a second"
    else:
        why = f"{standing.used} rows of {allowance.quota_rows} in {allowance.window_s / 3600:g} h are used, and {rows} asked for"
    return QuotaExceededError(f"{why}; try again in {wait_s:g} s", retry_after_s=wait_s, subject=f"tenant:{tenant}")
