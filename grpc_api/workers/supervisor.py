"""The supervisor: starts workers on one port, starts again what ends unasked, and drains all of them. It loads no model."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from grpc_api.admin import serve_admin
from grpc_api.cores import n_cores
from grpc_api.listening import ReadyFile, reserved_port, serve_metrics
from grpc_api.logs import configure_logs
from grpc_api.settings import GatewaySettings
from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.telemetry import CrewMetrics
from grpc_api.workers.admin import CrewAdmin
from grpc_api.workers.crew import Crew, CrewCollector
from grpc_api.workers.line import ANSWERING, LOADED, Order
from grpc_api.workers.process import Worker
from guard.errors import ConfigError, UnavailableError

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # before a worker is started again; twice as long each time
_SETTLED_S = 60.0  # one that lived so long begins with the first pause again
_LOOK_S = 5.0  # what was counted since the last look is lost when a worker is killed
_MARGIN_S = 5.0  # beyond the drain, until a worker is killed


def run_workers(settings: GatewaySettings) -> int:
    """Serve by several processes until SIGTERM or SIGINT, drain them, and return 0; raises what keeps the first of them off."""
    if sys.platform != "linux":
        raise ConfigError(f"workers = {settings.workers} needs Linux, which deals a port's connections out; leave it at 1")
    configure_logs(settings.telemetry.log_format)
    try:
        folder = TemporaryDirectory(prefix="knockguard-")
    except OSError as error:
        raise ConfigError(
            f"workers need a folder for their sockets ({error}); let TMPDIR name one that we may write to"
        ) from None
    with folder as name:
        asyncio.run(Supervisor(settings, Path(name)).run())
    return 0


def settings_of_each(settings: GatewaySettings, *, port: int, n_cores: int) -> GatewaySettings:
    """Return what each worker serves by: the shared port, and its share of the cores where nothing was said of threads."""
    threads = settings.threads or max(1, n_cores // settings.workers)
    return settings.model_copy(update={"port": port, "threads": threads, "workers": 1, "ready_file": None})


class Supervisor:
    """One gateway of several processes."""

    def __init__(self, settings: GatewaySettings, folder: Path) -> None:
        """`folder` is where the workers' sockets are."""
        self._settings = settings
        self._folder = folder
        self._sockets = count()
        self._registry = CollectorRegistry()
        self._crew = Crew(CrewMetrics(self._registry))
        self._running: set[Worker] = set()
        self._beside: set[asyncio.Task[Any]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Open the ports, have all workers load, then answer, and say so; wait for a signal, drain."""
        settings = self._settings
        ready = ReadyFile(settings.ready_file)
        async with AsyncExitStack() as stack:
            ports = {"port": stack.enter_context(reserved_port(settings.host, settings.port))}
            self._registry.register(CrewCollector(self._crew, asyncio.get_running_loop()))
            ports["metrics_port"] = stack.enter_context(
                serve_metrics(self._registry, settings.metrics_host, settings.metrics_port)
            )
            admin = CrewAdmin(self._crew)
            if (admin_port := await stack.enter_async_context(serve_admin(settings.admin, admin))) is not None:
                ports["admin_port"] = admin_port
            self._heed_signals()
            stack.push_async_callback(self._end_all)
            work = asyncio.create_task(self._work(ports, ready))
            stop = asyncio.create_task(self._stop.wait())
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # raises: it ends for nothing else
            log.info("drain_started", seconds=settings.drain_s)
            work.cancel()
            await asyncio.wait((work,))  # nothing is started any more
            ready.remove()
        log.info("gateway_stopped")

    async def _work(self, ports: Mapping[str, int], ready: ReadyFile) -> None:
        port, numbers = ports["port"], range(self._settings.workers)
        workers = await asyncio.gather(*(self._loaded(number, port) for number in numbers))
        await asyncio.gather(*(self._joined(worker, n_reloads=0) for worker in workers))
        ready.write(**ports)
        log.info("workers_started", version=version("knockguard"), workers=len(workers), **ports)
        await asyncio.gather(self._look_on(), *(self._keep(worker, port) for worker in workers))

    async def _keep(self, worker: Worker, port: int) -> None:
        """Have this worker, or one in its place, at all times."""
        number, pause_s = worker.number, FIRST_PAUSE_S
        while True:
            began = monotonic()
            log.error("worker_ended", worker=number, code=await worker.ended())
            self._running.discard(worker)
            self._crew.lose(worker)
            if monotonic() - began > _SETTLED_S:
                pause_s = FIRST_PAUSE_S
            while True:
                log.info("restart_scheduled", worker=number, in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                n_reloads = self._crew.n_reloads
                try:
                    worker = await self._loaded(number, port)
                    await self._joined(worker, n_reloads=n_reloads)
                    break
                except Exception as error:  # whatever it is, the others answer on, and the next attempt may go well
                    self._crew.miss()
                    log.error("worker_failed", worker=number, reason=str(error))
            log.info("worker_restarted", worker=number)

    async def _loaded(self, number: int, port: int) -> Worker:
        """Return a worker that could answer; raises why it cannot."""
        own = settings_of_each(self._settings, port=port, n_cores=n_cores())
        worker = await Worker.start(Order(number, self._folder / str(next(self._sockets)), own))
        self._running.add(worker)
        try:
            await worker.heard(LOADED)
        except Exception:
            await self._discard(worker)
            raise
        return worker

    async def _joined(self, worker: Worker, *, n_reloads: int) -> None:
        """Have a worker answer, as the others do by now."""
        try:
            await self._crew.join(worker, n_reloads=n_reloads)
            await worker.heard(ANSWERING)
        except Exception:
            await self._discard(worker)
            raise

    async def _discard(self, worker: Worker) -> None:
        worker.kill()
        await worker.ended()
        self._running.discard(worker)
        self._crew.leave(worker)

    async def _look_on(self) -> None:
        """Keep what each has counted, for when it ends unasked."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._crew.look()

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        task = asyncio.create_task(self._reload())
        self._beside.add(task)  # the loop itself forgets tasks that nobody holds
        task.add_done_callback(self._beside.discard)

    async def _reload(self) -> None:
        try:
            await self._crew.reload(pb.ReloadRequest())
        except UnavailableError as error:
            log.error("reload_failed", reason=str(error))

    async def _end_all(self) -> None:
        for worker in self._running:
            worker.end()
        ended = [asyncio.create_task(worker.ended()) for worker in self._running]
        if ended:
            await asyncio.wait(ended, timeout=self._settings.drain_s + _MARGIN_S)
        for worker in self._running:
            worker.kill()
        await asyncio.gather(*ended)
