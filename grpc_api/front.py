"""What a gateway opens beside its clients' port, and whom it tells that it answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import ClassVar

from prometheus_client import CollectorRegistry

from grpc_api.admin import Service, serve_admin
from grpc_api.listening import ReadyFile, serve_metrics
from grpc_api.settings import GatewaySettings


class Front(ABC):
    """One gateway's relation to whoever runs it. `open`, `answering` and `ending` are called once each, in this order."""

    shares_port: ClassVar[bool]

    @abstractmethod
    async def open(self, stack: AsyncExitStack, registry: CollectorRegistry, admin: Service) -> Mapping[str, int]:
        """Open metrics and admin service until the stack ends, once models are loaded; return the ports, by name."""

    @abstractmethod
    def answering(self, ports: Mapping[str, int]) -> None:
        """Tell that queries are answered from now on."""

    def ending(self) -> None:  # noqa: B027  # not everybody wants to know
        """Tell that no new query is answered from now on."""


class Alone(Front):
    """A gateway that is one process: ports of its own, and a file for who waits for it."""

    shares_port: ClassVar[bool] = False

    def __init__(self, settings: GatewaySettings) -> None:
        """ConfigError if the ready file could not be written."""
        self._settings = settings
        self._ready = ReadyFile(settings.ready_file)

    async def open(self, stack: AsyncExitStack, registry: CollectorRegistry, admin: Service) -> Mapping[str, int]:
        settings = self._settings
        ports = {"metrics_port": stack.enter_context(serve_metrics(registry, settings.metrics_host, settings.metrics_port))}
        admin_port = await stack.enter_async_context(serve_admin(settings.admin, admin))
        return ports if admin_port is None else {**ports, "admin_port": admin_port}

    def answering(self, ports: Mapping[str, int]) -> None:
        self._ready.write(**ports)

    def ending(self) -> None:
        self._ready.remove()
