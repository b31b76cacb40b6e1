"""The metrics of tenants' limits."""

from time import time

from grpc_api.failing import FailMode
from grpc_api.telemetry import Metrics
from guard.evidence.allowance import Bound


class TenantMetrics:
    """What tenants have of their limits. Tenants are a closed set."""

    def __init__(self, metrics: Metrics, store: str, mode: FailMode) -> None:
        self._metrics = metrics
        self._failures = metrics.store_failures.labels(store, mode.value)  # from 0 on
        self._used: dict[str, tuple[float, float]] = {}  # the share, and when its window ends

    def asked(self, tenant: str, used: float, window_end: float) -> None:
        """Note a request that was counted, and the share of the tenant's quota that is used until `window_end`; 0 without one."""
        self._meet(tenant)
        self._used[tenant] = used, window_end

    def refused(self, tenant: str, bound: Bound) -> None:
        """Count a request that is over a limit."""
        self._meet(tenant)
        self._metrics.limited.labels(tenant, bound.value).inc()

    def _meet(self, tenant: str) -> None:
        if tenant not in self._used:
            self._used[tenant] = 0.0, 0.0
            for bound in Bound:
                self._metrics.limited.labels(tenant, bound.value)  # from 0 on: Prometheus sees no increase in what begins at 1
            self._metrics.quota_used.labels(tenant).set_function(lambda: self._share(tenant))

    def _share(self, tenant: str) -> float:
        """Return what is used when it is asked for: who has asked nothing since its window ended has used nothing."""
        used, window_end = self._used[tenant]
        return used if time() < window_end else 0.0

    def store_failed(self) -> None:
        """Count a request that the store did not count."""
        self._failures.inc()
