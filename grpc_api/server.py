"""The gateway: a bundle behind a gRPC server, with health, reflection and metrics beside it, from start to drain."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version

import grpc
import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from prometheus_client import CollectorRegistry

from grpc_api.admission import Admission
from grpc_api.audit_log import AuditLog
from grpc_api.decoding import Decode
from grpc_api.encoded import ImageDecoder, ImageLimits
from grpc_api.front import Alone, Front
from grpc_api.hosting import Hosting
from grpc_api.identity import Identity
from grpc_api.identity.opening import open_identity
from grpc_api.interceptors import Authenticate, CountCalls, Statuses
from grpc_api.listening import add_port
from grpc_api.loading import Loader
from grpc_api.logs import configure_logs
from grpc_api.reflection import add_reflection
from grpc_api.servicers.admin import AdminServicer
from grpc_api.servicers.inference import SERVICE, InferenceServicer
from grpc_api.settings import GatewaySettings
from grpc_api.telemetry import Metrics
from grpc_api.tenant_limits import open_tenant_limits
from grpc_api.tls import server_credentials
from guard.decision_log import Witness
from guard.errors import ConfigError
from guard.evidence.ledger import Ledger

log = structlog.get_logger()

HEALTH_EVERY_S = 0.5

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def run_gateway(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return 0. What cannot be served is refused before a port is opened."""
    configure_logs(settings.telemetry.log_format)
    asyncio.run(Gateway(settings, Alone(settings)).run())
    return 0


async def tell_health(checks: health.HealthServicer, hosting: Hosting) -> None:
    """Say to whoever watches whether every model answers."""
    for name in ("", SERVICE):
        await checks.set(name, SERVING if hosting.ready else NOT_SERVING)


async def keep_telling(checks: health.HealthServicer, hosting: Hosting) -> None:
    """Say it again whenever that may have changed; who watches hears of changes alone."""
    while True:
        await asyncio.sleep(HEALTH_EVERY_S)
        await tell_health(checks, hosting)


class Gateway:
    """One process that answers for its bundles."""

    def __init__(self, settings: GatewaySettings, front: Front) -> None:
        """ConfigError if who may ask, or what the port is opened with, cannot be read."""
        self._settings = settings
        self._front = front
        self._identity: Identity = open_identity(settings)
        self._credentials: grpc.ServerCredentials | None = server_credentials(settings.tls)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Open the ports, say so, wait for a signal, drain. What hears of decisions ends after the last of them."""
        settings = self._settings
        metrics = Metrics(CollectorRegistry())
        async with AsyncExitStack() as stack:  # ends from its last to its first
            traces = self._traces(stack)  # first, so that it ends last: a collector that is away keeps nothing else waiting
            ledger = Ledger()
            witnesses: list[Witness] = [ledger] if settings.admin.is_on else []
            audit = None if settings.audit.folder is None else AuditLog(settings.audit.folder, metrics, settings.audit)
            if audit is not None:
                stack.push_async_callback(asyncio.to_thread, audit.close)
                witnesses.append(audit)
            images = ImageDecoder(ImageLimits.of(settings.images, max_waiting=settings.limits.max_queue_rows))
            stack.callback(images.close)
            hosting = Hosting(settings.bundles, Loader(settings, metrics, witnesses), metrics)
            stack.push_async_callback(hosting.close)
            tenant_limits = open_tenant_limits(settings.tenant_limits, metrics, lambda: self._identity.tenants)
            if tenant_limits is not None:
                stack.push_async_callback(tenant_limits.close)
                await tenant_limits.check()
            servicer = InferenceServicer(hosting, images, settings.limits, tenant_limits)
            checks = health.HealthServicer()
            server = self._server(metrics, traces)
            stack.push_async_callback(server.stop, 0)  # when a port was refused as well
            server.add_generic_rpc_handlers((servicer.handler(),))
            add_HealthServicer_to_server(checks, server)
            add_reflection(server)

            admin = AdminServicer(hosting, ledger, audit, lambda: servicer.ready, tenant_limits)
            beside = await self._front.open(stack, metrics.registry, admin)
            ports = {"port": add_port(server, settings.host, settings.port, self._credentials), **beside}
            self._heed_signals(hosting)
            await server.start()
            servicer.ready = True
            await tell_health(checks, hosting)
            telling = asyncio.create_task(keep_telling(checks, hosting))
            self._front.answering(ports)
            self._announce(hosting, ports)
            await self._stop.wait()
            log.info("drain_started", seconds=settings.drain_s)
            self._front.ending()
            telling.cancel()
            await checks.enter_graceful_shutdown()
            await server.stop(settings.drain_s)
        log.info("gateway_stopped")

    def _traces(self, stack: AsyncExitStack) -> Sequence[grpc.aio.ServerInterceptor]:
        """Return what traces queries, if that is asked for; ConfigError without its library."""
        if not self._settings.telemetry.traces:
            return ()
        try:
            from grpc_api.otel import open_traces
        except ImportError:
            raise ConfigError("traces need OpenTelemetry; pip install 'knockguard[otel]', or turn telemetry.traces off") from None
        traces, end = open_traces()
        stack.push_async_callback(asyncio.to_thread, end)
        return (traces,)

    def _heed_signals(self, hosting: Hosting) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, hosting.reload_soon)

    def _server(self, metrics: Metrics, traces: Sequence[grpc.aio.ServerInterceptor]) -> grpc.aio.Server:
        n_bytes = self._settings.limits.max_message_mib << 20
        admission = Admission(self._settings.limits)
        return grpc.aio.server(
            interceptors=(CountCalls(metrics), *traces, Statuses(), Authenticate(self._identity), admission, Decode()),
            maximum_concurrent_rpcs=admission.ceiling,
            options=[
                ("grpc.max_receive_message_length", n_bytes),
                ("grpc.max_send_message_length", n_bytes),
                # Shared only on purpose: else a second gateway would have half of the calls, in silence.
                ("grpc.so_reuseport", int(self._front.shares_port)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
            ],
        )

    def _announce(self, hosting: Hosting, ports: Mapping[str, int]) -> None:
        for release in hosting.releases:
            manifest, guard = release.manifest, release.pipeline.guard
            log.info(
                "bundle_loaded",
                model=manifest.name,
                model_version=manifest.version,
                bundle=manifest.digest,
                sha256=manifest.sha256[:12],
                provider=release.pipeline.provider,
                detector=guard.detector,
                policy=guard.standing,
                apply_to=guard.stands_on,
            )
        log.info(
            "gateway_started",
            version=version("knockguard"),
            models=len(hosting.releases),
            **ports,
            tenants=len(self._identity.tenants),
            tls=self._credentials is not None,
        )
