"""pipeline: batching -> backend -> guard, for one bundle."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, time

import numpy as np
import structlog

from grpc_api.backends.base import Backend
from grpc_api.batching import Batcher, Job, Limits
from grpc_api.dependency import Dependency
from grpc_api.lanes import Lanes
from grpc_api.repeats import Repeats
from grpc_api.telemetry import ModelMetrics, Timing
from grpc_api.tracing import TRACE
from grpc_api.waiting import Waiting
from guard.bundle import Manifest
from guard.decision_log import Decided, Origin, Witness
from guard.errors import InvalidInputError, PermissionDeniedError
from guard.guard import Decision, Guard
from guard.live_scores import LiveScores
from guard.types import Action, Floats

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answered:
    """One request's decision, and where its time went."""

    decision: Decision
    timing: Timing


class Pipeline:
    """Answers requests to one model. Create it inside a running event loop."""

    def __init__(self, manifest: Manifest, backend: Backend, guard: Guard, metrics: ModelMetrics, limits: Limits) -> None:
        self.manifest = manifest
        self._backend = backend
        self.guard = guard  # may be exchanged at any time: a batch keeps the one that it began with
        self.metrics = metrics
        self.witnesses: Sequence[Witness] = ()  # told of every decision
        self._origin = Origin.of(manifest)
        self._line: Batcher[Answered] | Lanes[Answered]
        if backend.computes_here:
            self._line = Batcher(self._work, limits, on_queue=metrics.queued)
        else:
            self._line = Lanes(self._work, limits, on_queue=metrics.queued)
        self.live_scores = LiveScores(manifest)
        self.n_unguarded = 0  # rows
        self._repeats = Repeats()
        metrics.watch(lambda: backend.ready, backend.dependencies, self.live_scores)

    @property
    def provider(self) -> str:
        """What computes: see the backend's."""
        return self._backend.provider

    @property
    def ready(self) -> bool:
        """Whether a query would be answered now."""
        return self._backend.ready

    @property
    def dependencies(self) -> Sequence[Dependency]:
        """What an answer depends on beside this gateway."""
        return self._backend.dependencies

    async def answer(self, inputs: Floats, *, tenant: str, timeout_s: float | None, request: str = "") -> Floats:
        """Return what the client gets for (n, ...) inputs: (n, k) float32. `request` is the id under which witnesses hear of it.

        PermissionDeniedError if a row is refused: then the whole request is. InvalidInputError if the model has no finite
        answer to a row. Raises what the queue and the backend raise.
        """
        if len(inputs):
            answered = await self._line.submit(inputs, tenant=tenant, timeout_s=timeout_s)
        else:  # not every graph computes on nothing, and nothing takes no place in a queue
            answered = self._nothing(tenant)
        decision = answered.decision
        self.metrics.answered(decision, answered.timing, tenant=tenant)
        if not decision.guarded:
            self._tell_unguarded(len(decision.answers))
        trace = TRACE.get()
        for stage in answered.timing.stages:
            trace.stage(*stage)
        for witness in self.witnesses:
            witness.decided(Decided(self._origin, decision, tenant, request, time()))
        if Action.REFUSE in decision.actions:
            raise PermissionDeniedError("this query is not answered")
        return decision.answers

    async def close(self) -> None:
        """Finish what is queued, then end the backend."""
        await self._line.close()
        await asyncio.to_thread(self._backend.close)

    def _tell_unguarded(self, n_rows: int) -> None:
        self.n_unguarded += n_rows
        untold = self._repeats.untold("unguarded")
        if untold is not None:
            manifest = self.manifest
            log.error("answered_unguarded", model=manifest.name, model_version=manifest.version, since_last_told=untold)

    def _nothing(self, tenant: str) -> Answered:
        manifest = self.manifest
        probabilities = np.empty((0, len(manifest.labels)), np.float32)
        scores = np.empty((0, len(manifest.detectors)), np.float32)
        now = perf_counter()
        return Answered(self.guard.decide(probabilities, scores, tenant=tenant), Timing(now, now, now, now, now))

    def _work(self, jobs: Sequence[Job[Answered]]) -> Sequence[Answered | Exception]:
        """Answer a batch, in a thread of its own: one inference, then each request by its own tenant's rules."""
        taken = perf_counter()
        guard = self.guard
        inputs = jobs[0].inputs if len(jobs) == 1 else np.concatenate([job.inputs for job in jobs])
        # Of several, none who leaves calls off what the others wait for.
        waiting = jobs[0].waiting if len(jobs) == 1 else Waiting(max(job.waiting.deadline for job in jobs))
        probabilities, scores = self._backend.infer(inputs, waiting=waiting)
        inferred = perf_counter()
        self.metrics.inferred(len(inputs))
        keys = guard.keys(inputs)
        answered: list[Answered | Exception] = []
        start = 0
        for job in jobs:
            rows = slice(start, start + len(job.inputs))
            start = rows.stop
            began = perf_counter()
            if not np.isfinite(probabilities[rows]).all():
                answered.append(InvalidInputError("a row's values are so far outside the model's range that it has no answer"))
                continue
            own = None if scores is None else scores[rows]
            decision = guard.decide(probabilities[rows], own, keys[rows], tenant=job.tenant)
            if own is not None:
                self.live_scores.add(own)
            answered.append(Answered(decision, Timing(job.queued, taken, inferred, began, perf_counter())))
        return answered
