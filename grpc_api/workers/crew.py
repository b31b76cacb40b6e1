"""The crew: the workers that answer now, asked together; and what they counted, those that have ended included."""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import TypeAlias

import structlog
from google.protobuf.message import Message
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.telemetry import CrewMetrics
from grpc_api.workers.merging import Families, counted, merge, metrics_of, read
from grpc_api.workers.process import Response, Worker
from guard.errors import DeadlineError, NotLoadedError, UnavailableError

log = structlog.get_logger()

_ASK_S = 5.0  # less than an operator's client waits, so that one worker that hangs keeps nobody from the others' answers
_RELOAD_S = 120.0  # models are loaded and warmed up
_METRICS_S = 2.0
_SILENT_S = 20.0  # long beside what a load that callers bring about can keep a loop from answering
_Errors: TypeAlias = type[Exception] | tuple[type[Exception], ...]
_MISSED: _Errors = (UnavailableError, DeadlineError)


class Crew:
    """Lives in one event loop. What an operator changed holds for a worker that joins later as well, before it answers."""

    def __init__(self, metrics: CrewMetrics, *, silent_s: float = _SILENT_S) -> None:
        """`silent_s`: who answers no look for so long hangs, and is ended."""
        self.n_lost = 0  # workers that answered and ended unasked
        self.n_reloads = 0
        self._live: list[Worker] = []
        self._modes: dict[str, pb.SetPolicyRequest] = {}  # by model
        self._changing = asyncio.Lock()
        self._looking = asyncio.Lock()  # one look after the other: a count that goes back looks like a restart to Prometheus
        self._metrics = metrics
        self._told: dict[Worker, Families] = {}  # what each counted when it was last looked at
        self._ended: Families = {}
        self._silent_s = silent_s
        self._silent_since: dict[Worker, float] = {}  # by the monotonic clock

    async def join(self, worker: Worker, *, n_reloads: int) -> None:
        """Let a worker that has loaded answer; `n_reloads` is how many reloads there had been when it was started."""
        async with self._changing:
            for request in self._modes.values():
                await worker.ask("SetPolicy", request, pb.SetPolicyResponse, timeout_s=_ASK_S)
            if self.n_reloads != n_reloads:
                await worker.ask("Reload", pb.ReloadRequest(), pb.ReloadResponse, timeout_s=_RELOAD_S)
            self._live.append(worker)
            self._count()
        await worker.go()

    def leave(self, worker: Worker) -> None:
        """Count a worker that has ended no longer as one that answers, and keep what it counted."""
        if worker in self._live:
            self._live.remove(worker)
        self._silent_since.pop(worker, None)
        self._count()
        self._ended = merge((self._ended, counted(self._told.pop(worker, {}))))

    def lose(self, worker: Worker) -> None:
        """Have a worker that answered and ended unasked leave."""
        self.n_lost += 1
        self._metrics.restarts.inc()
        self.leave(worker)

    def miss(self) -> None:
        """Count an attempt to start a worker again that failed."""
        self._metrics.failed_starts.inc()

    async def ask(self, method: str, request: Message, kind: type[Response], *, timeout_s: float = _ASK_S) -> list[Response]:
        """Return the answers of all who answer, or raise the first refusal. One that ends or hangs meanwhile is left out."""
        return list((await self._answers(method, request, kind, timeout_s=timeout_s)).values())

    async def set_policy(self, request: pb.SetPolicyRequest) -> list[pb.SetPolicyResponse]:
        """Set a policy everywhere, and for whoever joins. Who does not hear of it is ended: its successor will."""
        # An operator who goes away would otherwise leave it set in some.
        return await asyncio.shield(asyncio.ensure_future(self._set_policy(request)))

    async def _set_policy(self, request: pb.SetPolicyRequest) -> list[pb.SetPolicyResponse]:
        async with self._changing:
            answers = await self._answers("SetPolicy", request, pb.SetPolicyResponse, timeout_s=_ASK_S)
            self._modes[request.model] = request
            for worker in self._live:
                if worker not in answers:
                    log.error("worker_killed", worker=worker.number, reason="it did not hear of a policy that was set")
                    worker.kill()
            return list(answers.values())

    async def _answers(
        self, method: str, request: Message, kind: type[Response], *, timeout_s: float, may_miss: _Errors = _MISSED
    ) -> dict[Worker, Response]:
        workers = tuple(self._live)
        asked = (worker.ask(method, request, kind, timeout_s=timeout_s) for worker in workers)
        heard: dict[Worker, Response] = {}
        reason: BaseException | None = None
        for worker, answer in zip(workers, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if not isinstance(answer, BaseException):
                heard[worker] = answer
            elif not isinstance(answer, may_miss):
                raise answer
            elif worker in self._live:
                reason = answer
        if not heard:
            raise reason or NotLoadedError("no worker answers now, each is being started; the log says why, where one ended")
        return heard

    async def reload(self, request: pb.ReloadRequest) -> list[pb.ReloadResponse]:
        """Have bundles read again, everywhere; DeadlineError if one takes too long: it may load for longer without hanging."""
        self.n_reloads += 1  # first: who is started from now on may have read before or after
        answers = await self._answers("Reload", request, pb.ReloadResponse, timeout_s=_RELOAD_S, may_miss=UnavailableError)
        return list(answers.values())

    async def look(self) -> Iterable[Metric]:
        """Return the metrics of all as those of one gateway. Who does not answer counts as when it was last looked at."""
        async with self._looking:
            workers = tuple(self._live)
            texts = await asyncio.gather(*(worker.metrics(timeout_s=_METRICS_S) for worker in workers))
            for worker, text in zip(workers, texts, strict=True):
                if worker in self._live:
                    self._heard(worker, text)
            self._count()
        return list(metrics_of(merge([self._told[w] for w in self._live if w in self._told], (self._ended,))))

    def _heard(self, worker: Worker, text: str | None) -> None:
        """Keep what a worker counted; end one that has been silent for too long, so that another takes its place."""
        if text is not None:
            self._told[worker] = read(text)
            self._silent_since.pop(worker, None)
            return
        silent_s = monotonic() - self._silent_since.setdefault(worker, monotonic())
        if silent_s >= self._silent_s:
            log.error("worker_killed", worker=worker.number, reason=f"it was silent for {silent_s:.0f} s")
            worker.kill()

    def _count(self) -> None:
        self._metrics.workers.set(sum(worker not in self._silent_since for worker in self._live))


class CrewCollector(Collector):
    """The crew's metrics for whoever reads a registry, in a thread beside the crew's loop."""

    def __init__(self, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        self._crew = crew
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return asyncio.run_coroutine_threadsafe(self._crew.look(), self._loop).result(3 * _METRICS_S)
