"""The crew: the workers that answer now, asked together; and what they counted, those that have ended included."""

import asyncio
from collections.abc import Iterable

import structlog
from google.protobuf.message import Message
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.telemetry import CrewMetrics
from grpc_api.workers.merging import Families, counted, merge, metrics_of, read
from grpc_api.workers.process import Response, Worker
from guard.errors import NotLoadedError, UnavailableError

log = structlog.get_logger()

_ASK_S = 10.0
_RELOAD_S = 120.0  # models are loaded and warmed up
_METRICS_S = 2.0


class Crew:
    """Lives in one event loop. What an operator changed holds for a worker that joins later as well, before it answers."""

    def __init__(self, metrics: CrewMetrics) -> None:
        self.n_lost = 0  # workers that ended unasked
        self.n_reloads = 0
        self._live: list[Worker] = []
        self._modes: dict[str, pb.SetPolicyRequest] = {}  # by model
        self._changing = asyncio.Lock()
        self._looking = asyncio.Lock()  # one look after the other: a count that goes back looks like a restart to Prometheus
        self._metrics = metrics
        self._told: dict[Worker, Families] = {}  # what each counted when it was last looked at
        self._ended: Families = {}

    async def join(self, worker: Worker, *, n_reloads: int) -> None:
        """Let a worker that has loaded answer; `n_reloads` is how many reloads there had been when it was started."""
        async with self._changing:
            for request in self._modes.values():
                await worker.ask("SetPolicy", request, pb.SetPolicyResponse, timeout_s=_ASK_S)
            if self.n_reloads != n_reloads:
                await worker.ask("Reload", pb.ReloadRequest(), pb.ReloadResponse, timeout_s=_RELOAD_S)
            self._live.append(worker)
            self._metrics.workers.set(len(self._live))
        await worker.go()

    def leave(self, worker: Worker) -> None:
        """Count a worker that ended unasked no longer as one that answers, and keep what it counted."""
        if worker in self._live:
            self._live.remove(worker)
        self.n_lost += 1
        self._metrics.restarts.inc()
        self._metrics.workers.set(len(self._live))
        self._ended = merge((self._ended, counted(self._told.pop(worker, {}))))

    async def ask(self, method: str, request: Message, kind: type[Response], *, timeout_s: float = _ASK_S) -> list[Response]:
        """Return every worker's answer, or raise the first error. One that ends meanwhile is left out: its successor is told."""
        asked = (worker.ask(method, request, kind, timeout_s=timeout_s) for worker in self._live)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        heard: list[Response] = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                heard.append(answer)
            elif not isinstance(answer, UnavailableError):
                raise answer
        if not heard:
            raise NotLoadedError("no worker answers now; the log says why they ended, and each is started again")
        return heard

    async def set_policy(self, request: pb.SetPolicyRequest) -> list[pb.SetPolicyResponse]:
        """Set a policy everywhere, and for whoever joins."""
        async with self._changing:
            answers = await self.ask("SetPolicy", request, pb.SetPolicyResponse)
            self._modes[request.model] = request
            return answers

    async def reload(self, request: pb.ReloadRequest) -> list[pb.ReloadResponse]:
        """Have bundles read again, everywhere."""
        self.n_reloads += 1  # first: who is started from now on may have read before or after
        return await self.ask("Reload", request, pb.ReloadResponse, timeout_s=_RELOAD_S)

    async def look(self) -> Iterable[Metric]:
        """Return the metrics of all as those of one gateway. Who does not answer counts as when it was last looked at."""
        async with self._looking:
            workers = tuple(self._live)
            texts = await asyncio.gather(*(worker.metrics(timeout_s=_METRICS_S) for worker in workers))
            for worker, text in zip(workers, texts, strict=True):
                if text is not None and worker in self._live:
                    self._told[worker] = read(text)
        return list(metrics_of(merge([self._told[w] for w in self._live if w in self._told], (self._ended,))))


class CrewCollector(Collector):
    """The crew's metrics for whoever reads a registry, in a thread beside the crew's loop."""

    def __init__(self, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        self._crew = crew
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return asyncio.run_coroutine_threadsafe(self._crew.look(), self._loop).result(3 * _METRICS_S)
