"""Which backend a bundle gets: its own model in this process, or somebody else's server."""

import structlog

from grpc_api.backends.answer import Answer
from grpc_api.backends.base import Backend
from grpc_api.backends.embedded import Embedded
from grpc_api.backends.proxy import Proxy
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Address, Upstream
from grpc_api.failing import FailMode
from grpc_api.listening import is_loopback
from grpc_api.settings import GatewaySettings
from guard.bundle import Bundle

log = structlog.get_logger()


def open_backend(bundle: Bundle, settings: GatewaySettings) -> Backend:
    """Return a backend that has answered a first batch, or a proxy that waits for its upstream; BundleError or ConfigError."""
    told, manifest = settings.upstream, bundle.manifest
    if told.address is None:
        return Embedded(bundle, provider=settings.provider, threads=settings.threads)
    if told.ca_file is None and not is_loopback(told.address.rpartition(":")[0].strip("[]")):
        log.warning(
            "upstream_in_the_clear", upstream=told.address, advice="queries and scores cross a network; give upstream.ca_file"
        )
    if settings.failing.detector is FailMode.OPEN:
        log.warning(
            "detector_fails_open", model=manifest.name, advice="whoever makes it fail is answered unguarded; see failing.detector"
        )
    address = Address(
        told.address,
        model=told.model or manifest.name,
        version=told.version,
        timeout_s=told.timeout_s,
        ca_file=told.ca_file,
        max_message_bytes=settings.limits.max_message_mib << 20,
        max_rows=told.max_rows,
    )
    scorer = Scorer(bundle, provider=settings.provider, threads=settings.threads) if told.scores == "bundle" else None
    answer = Answer(told.output or manifest.output, logits=told.logits)
    return Proxy(manifest, Upstream(address, settings.failing), answer, scorer, settings.failing)
