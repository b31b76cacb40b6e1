"""The admin service of a crew: each call goes to every worker, and the answers are told as one gateway's."""

import asyncio
import os
import time
from collections.abc import Sequence
from importlib.metadata import version

import grpc
import numpy as np

from grpc_api.breaker import State
from grpc_api.hosting import Outcome
from grpc_api.servicers.admin import SERVICE
from grpc_api.servicers.handlers import service_handler
from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.workers.crew import Crew
from guard.evidence.ledger import QUANTILES

Item = pb.EvidenceResponse.Item
_GRAVITY = (Outcome.UNCHANGED.value, Outcome.ACCEPTED.value, Outcome.REJECTED.value)  # the last is what an operator must hear

_WORSE = (State.CLOSED.value, State.HALF_OPEN.value, State.OPEN.value)


class CrewAdmin:
    """The operator's calls, over all workers."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._started_at = time.time()

    async def Status(self, request: pb.StatusRequest, _context: object) -> pb.StatusResponse:
        answers, evidence = await asyncio.gather(
            self._crew.ask("Status", request, pb.StatusResponse),
            self._crew.ask("Evidence", pb.EvidenceRequest(), pb.EvidenceResponse),
        )
        return pb.StatusResponse(
            release=version("knockguard"),
            ready=all(a.ready for a in answers),
            started_at=self._started_at,
            process=os.getpid(),
            bundles=max(a.bundles for a in answers),
            tenants=len({item.tenant for answer in evidence for item in answer.items}),
            rows=sum(a.rows for a in answers),
            flagged=sum(a.flagged for a in answers),
            audit_written_rows=sum(a.audit_written_rows for a in answers),
            audit_dropped_rows=sum(a.audit_dropped_rows for a in answers),
            dependencies=worst_dependencies([a.dependencies for a in answers]),
            drifts=farthest_drifts([a.drifts for a in answers]),
            unguarded_rows=sum(a.unguarded_rows for a in answers),
            workers=len(answers),
            worker_restarts=self._crew.n_lost,
        )

    async def ListBundles(self, request: pb.ListBundlesRequest, _context: object) -> pb.ListBundlesResponse:
        answers = await self._crew.ask("ListBundles", request, pb.ListBundlesResponse)
        return pb.ListBundlesResponse(bundles=_distinct([a.bundles for a in answers]))

    async def SetPolicy(self, request: pb.SetPolicyRequest, _context: object) -> pb.SetPolicyResponse:
        answers = await self._crew.set_policy(request)
        return pb.SetPolicyResponse(bundles=_distinct([a.bundles for a in answers]))

    async def Reload(self, request: pb.ReloadRequest, _context: object) -> pb.ReloadResponse:
        return gravest(await self._crew.reload(request))

    async def Evidence(self, request: pb.EvidenceRequest, _context: object) -> pb.EvidenceResponse:
        answers = await self._crew.ask("Evidence", request, pb.EvidenceResponse)
        found: dict[tuple[str, str, str, str], list[Item]] = {}
        for item in (item for answer in answers for item in answer.items):
            found.setdefault((item.tenant, item.model, item.version, item.bundle), []).append(item)
        order = sorted(found.values(), key=lambda items: max(item.last for item in items), reverse=True)
        return pb.EvidenceResponse(items=[together(items) for items in order])

    async def Reset(self, request: pb.ResetRequest, _context: object) -> pb.ResetResponse:
        answers = await self._crew.ask("Reset", request, pb.ResetResponse)
        return pb.ResetResponse(forgotten=sum(a.forgotten for a in answers))

    async def Limits(self, request: pb.LimitsRequest, _context: object) -> pb.LimitsResponse:
        answers = await self._crew.ask("Limits", request, pb.LimitsResponse)
        return answers[0] if answers[0].shared else summed(answers)

    async def ResetLimits(self, request: pb.ResetLimitsRequest, _context: object) -> pb.ResetLimitsResponse:
        answers = await self._crew.ask("ResetLimits", request, pb.ResetLimitsResponse)
        return pb.ResetLimitsResponse(forgotten=any(a.forgotten for a in answers))

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service."""
        return service_handler(self, SERVICE, stubs=pb, service="Admin")


def gravest(answers: Sequence[pb.ReloadResponse]) -> pb.ReloadResponse:
    """Return for each bundle the outcome that most needs to be heard of."""
    rows = zip(*(answer.outcomes for answer in answers), strict=False)
    return pb.ReloadResponse(outcomes=[max(row, key=lambda o: _GRAVITY.index(o.outcome)) for row in rows])


def summed(answers: Sequence[pb.LimitsResponse]) -> pb.LimitsResponse:
    """Return what workers that count each for itself allow together, and what is used of that."""
    whole = pb.LimitsResponse()
    whole.CopyFrom(answers[0])
    for item in whole.items:
        others = [other for answer in answers[1:] for other in answer.items if other.tenant == item.tenant]
        for name in ("rows_per_s", "burst_rows", "bucket_rows", "quota_rows"):
            if item.HasField(name):
                setattr(item, name, getattr(item, name) + sum(getattr(other, name) for other in others))
        item.used_rows += sum(other.used_rows for other in others)
    return whole


def worst_dependencies(answers: Sequence[Sequence[pb.Dependency]]) -> list[pb.Dependency]:
    """Return each dependency once, in the worst state that some worker finds it in; faults and losses are sums."""
    found: dict[tuple[str, str, str], pb.Dependency] = {}
    for item in (item for answer in answers for item in answer):
        whole = found.setdefault((item.name, item.model, item.version), pb.Dependency(state=State.CLOSED.value))
        state = max(whole.state, item.state, key=_WORSE.index)
        openings = whole.openings + item.openings
        faults = {kind: whole.faults[kind] + n for kind, n in item.faults.items()}
        whole.CopyFrom(item)
        whole.state, whole.openings = state, openings
        whole.faults.update(faults)
    return list(found.values())


def farthest_drifts(answers: Sequence[Sequence[pb.Drift]]) -> list[pb.Drift]:
    """Return each detector's drift once, of the worker that finds it largest."""
    found: dict[tuple[str, str, str], pb.Drift] = {}
    for item in (item for answer in answers for item in answer):
        key = item.model, item.version, item.detector
        found[key] = max(found.get(key, item), item, key=lambda drift: drift.psi)
    return list(found.values())


def together(items: Sequence[pb.EvidenceResponse.Item]) -> pb.EvidenceResponse.Item:
    """Return what several workers know of one tenant and bundle as one item.

    Its quantiles are those of all recent scores, each worker's taken to lie evenly between its own quantiles.
    """
    whole = Item()
    whole.CopyFrom(items[0])
    whole.rows, whole.flagged = sum(i.rows for i in items), sum(i.flagged for i in items)
    whole.since, whole.last = min(i.since for i in items), max(i.last for i in items)
    whole.recent_rows, whole.recent_flagged = sum(i.recent_rows for i in items), sum(i.recent_flagged for i in items)
    told = [item for item in items if item.recent_quantiles]
    if len(told) > 1:
        scores = np.unique(np.concatenate([item.recent_quantiles for item in told]))
        shares = [np.interp(scores, item.recent_quantiles, QUANTILES) for item in told]
        share = np.average(shares, axis=0, weights=[item.recent_rows for item in told])
        whole.recent_quantiles[:] = np.interp(QUANTILES, share, scores).tolist()
    elif told:
        whole.recent_quantiles[:] = told[0].recent_quantiles
    return whole


def _distinct(answers: Sequence[Sequence[pb.Bundle]]) -> list[pb.Bundle]:
    """Return what is live, each bundle and policy once: more than one of a model and version is what a failed reload left."""
    seen: dict[tuple[str, str, str, str, str], pb.Bundle] = {}
    for bundle in (bundle for bundles in answers for bundle in bundles):
        seen.setdefault((bundle.model, bundle.version, bundle.bundle, bundle.policy, bundle.apply_to), bundle)
    return list(seen.values())
