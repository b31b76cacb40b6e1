"""knockguard.admin.v1.Admin: what an operator may ask of a gateway, and change in it."""

import os
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import grpc

from grpc_api.audit_log import AuditLog
from grpc_api.dependency import Dependency, Fault
from grpc_api.hosting import Hosting, Release
from grpc_api.loading import Mode
from grpc_api.servicers.handlers import service_handler
from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.tenant_limits import TenantLimits
from guard.errors import ConfigError, InvalidInputError
from guard.evidence.ledger import Ledger
from guard.registry import nearest
from guard.types import ApplyTo

_MAX_TENANTS = 1000  # told at once
SERVICE = pb.DESCRIPTOR.services_by_name["Admin"].full_name


class AdminServicer:
    """The operator's calls. Who may make them is decided before they get here."""

    def __init__(
        self,
        hosting: Hosting,
        ledger: Ledger,
        audit: AuditLog | None,
        ready: Callable[[], bool],
        tenant_limits: TenantLimits | None,
    ) -> None:
        self._hosting = hosting
        self._ledger = ledger
        self._audit = audit
        self._ready = ready
        self._tenant_limits = tenant_limits
        self._started_at = time.time()

    async def Status(self, _request: pb.StatusRequest, _context: object) -> pb.StatusResponse:
        return pb.StatusResponse(
            release=version("knockguard"),
            ready=self._ready(),
            started_at=self._started_at,
            process=os.getpid(),
            bundles=len(self._hosting.releases),
            tenants=len({entry.tenant for entry in self._ledger.entries()}),
            rows=self._ledger.rows,
            flagged=self._ledger.flagged,
            audit_written_rows=self._audit.n_written if self._audit else 0,
            audit_dropped_rows=self._audit.n_dropped if self._audit else 0,
            dependencies=self._dependencies(),
            drifts=(found for release in self._hosting.releases for found in _drifts(release)),
            unguarded_rows=sum(release.pipeline.n_unguarded for release in self._hosting.releases),
        )

    def _dependencies(self) -> Iterator[pb.Dependency]:
        for release in self._hosting.releases:
            for found in release.pipeline.dependencies:
                yield _dependency(found, release.manifest.name, release.manifest.version)
        if self._tenant_limits is not None:
            yield _dependency(self._tenant_limits.health)

    async def ListBundles(self, _request: pb.ListBundlesRequest, _context: object) -> pb.ListBundlesResponse:
        return pb.ListBundlesResponse(bundles=map(_bundle, self._hosting.releases))

    async def SetPolicy(self, request: pb.SetPolicyRequest, _context: object) -> pb.SetPolicyResponse:
        if not request.policy:
            raise InvalidInputError("no policy was named; give one of those that `knockguard list` shows")
        mode = Mode(request.policy, dict(request.options), _apply_to(request.apply_to or ApplyTo.FLAGGED.value))
        return pb.SetPolicyResponse(bundles=map(_bundle, self._hosting.set_mode(request.model, mode)))

    async def Reload(self, request: pb.ReloadRequest, _context: object) -> pb.ReloadResponse:
        response = pb.ReloadResponse()
        for done in await self._hosting.reload(request.model):
            response.outcomes.add(model=done.model, version=done.version, outcome=done.outcome.value, reason=done.reason)
        return response

    async def Evidence(self, request: pb.EvidenceRequest, _context: object) -> pb.EvidenceResponse:
        targets = {r.manifest.digest: r.pipeline.guard.threshold.target_fpr for r in self._hosting.releases}
        response = pb.EvidenceResponse()
        for entry in self._ledger.entries(request.tenant):
            origin = entry.origin
            response.items.add(
                tenant=entry.tenant,
                model=origin.model,
                version=origin.version,
                bundle=origin.bundle,
                detector=origin.detector,
                threshold=origin.threshold,
                target_fpr=targets.get(origin.bundle),
                rows=entry.rows,
                flagged=entry.flagged,
                since=entry.since,
                last=entry.last,
                recent_rows=entry.recent_rows,
                recent_flagged=entry.recent_flagged,
                recent_quantiles=entry.quantiles,
            )
        return response

    async def Reset(self, request: pb.ResetRequest, _context: object) -> pb.ResetResponse:
        if not request.tenant:
            raise InvalidInputError("no tenant was named; `knockguard admin evidence` shows them")
        return pb.ResetResponse(forgotten=self._ledger.forget(request.tenant))

    async def Limits(self, request: pb.LimitsRequest, _context: object) -> pb.LimitsResponse:
        limits = self._limits()
        tenants = [request.tenant] if request.tenant else limits.tenants
        response = pb.LimitsResponse(store=limits.store, shared=limits.shared, left_out=len(tenants[_MAX_TENANTS:]))
        for tenant in tenants[:_MAX_TENANTS]:
            allowance, standing = limits.allowance(tenant), await limits.standing(tenant)
            rated = allowance.rows_per_s is not None
            response.items.add(
                tenant=tenant,
                rows_per_s=allowance.rows_per_s,
                burst_rows=allowance.burst_rows if rated else None,
                bucket_rows=standing.tokens if rated else None,
                quota_rows=allowance.quota_rows,
                used_rows=standing.used,
                window_end=standing.window_end,
            )
        return response

    async def ResetLimits(self, request: pb.ResetLimitsRequest, _context: object) -> pb.ResetLimitsResponse:
        if not request.tenant:
            raise InvalidInputError("no tenant was named; `knockguard admin limits` shows them")
        return pb.ResetLimitsResponse(forgotten=await self._limits().forget(request.tenant))

    def _limits(self) -> TenantLimits:
        if self._tenant_limits is None:
            raise InvalidInputError("this gateway has no limits of tenants; give it their file, --tenant-limits")
        return self._tenant_limits

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service."""
        return service_handler(self, SERVICE, stubs=pb, service="Admin")


def _apply_to(word: str) -> ApplyTo:
    try:
        return ApplyTo(word)
    except ValueError:
        raise ConfigError(f"apply_to is {word[:32]!r}{nearest(word, [a.value for a in ApplyTo])}") from None


def _dependency(found: Dependency, model: str = "", version: str = "") -> pb.Dependency:
    return pb.Dependency(
        name=found.name,
        model=model,
        version=version,
        mode=found.mode.value,
        state=found.state.value,
        openings=found.openings,
        faults={fault.value: found.faults[fault] for fault in Fault},
    )


def _drifts(release: Release) -> Iterator[pb.Drift]:
    manifest = release.manifest
    for detector, found in release.pipeline.live_scores.drifts().items():
        yield pb.Drift(
            model=manifest.name,
            version=manifest.version,
            detector=detector,
            rows=found.n,
            psi=found.psi,
            psi_noise=found.noise,
            gap=found.gap,
            critical_gap=found.critical_gap,
            moved=found.moved,
        )


def _bundle(release: Release) -> pb.Bundle:
    manifest, guard = release.manifest, release.pipeline.guard
    return pb.Bundle(
        model=manifest.name,
        version=manifest.version,
        bundle=manifest.digest,
        source=str(release.source),
        provider=release.pipeline.provider,
        loaded_at=release.loaded_at,
        detector=guard.detector,
        threshold=guard.threshold.value,
        target_fpr=guard.threshold.target_fpr,
        policy=guard.standing,
        apply_to=guard.apply_to.value,
    )
