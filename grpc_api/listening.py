"""Ports: opened or refused with a sentence, and told to whoever started us."""

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import grpc
from prometheus_client import CollectorRegistry, make_wsgi_app

from guard.errors import ConfigError
from guard.whole import write_whole

_MAX_READY_BYTES = 4096


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def add_port(
    server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None = None, *, flag: str = "--port"
) -> int:
    """Open the gRPC port, with TLS where there are credentials, and return it, a free one for 0; ConfigError if it is taken."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    except RuntimeError:
        bound = 0
    if not bound:
        raise ConfigError(f"cannot listen on {host}:{port}; it is in use or not ours to open, so give another {flag}, or 0")
    return bound


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Hold a port, a free one for 0, for processes that will share it, and yield it; ConfigError if it is taken."""
    try:
        held = _reserve(host, port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}; it is in use or not ours to open ({error}), so give another --port, or 0"
        ) from None
    with held:
        yield int(held.getsockname()[1])


def _reserve(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind, protocol) as alone:  # else another gateway would share the port, and half of the calls
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # calls that ended a minute ago are nobody's
        alone.bind(address)
        alone.listen()
        address = alone.getsockname()
    held = socket.socket(family, kind, protocol)  # never listens: a port that is only bound gets no calls
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


class _Threaded(ThreadingMixIn, WSGIServer):
    """A thread a scrape: a client that opens a connection and says nothing keeps neither the others nor our end waiting."""

    daemon_threads = True
    block_on_close = False


class _Quiet(WSGIRequestHandler):
    timeout = 10.0  # seconds of silence

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""


@contextmanager
def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> Iterator[int]:
    """Serve /metrics in a thread for as long as the block runs; yields the port. ConfigError if it is taken."""
    try:
        server = make_server(host, port, make_wsgi_app(registry), _Threaded, _Quiet)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise ConfigError(f"cannot serve metrics on {host}:{port}; {reason}, so give another --metrics-port, or 0") from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ReadyFile:
    """Tells the ports to whoever started us: there while queries are answered, and not a moment longer."""

    def __init__(self, path: Path | None) -> None:
        """Remove what an earlier run left; ConfigError if the file is another's, or could not be written later."""
        self._path = path
        if path is None:
            return
        if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise ConfigError(f"cannot write --ready-file {path}; give the path of a file, in a folder that we may write to")
        if path.exists() and not _is_ours(path):
            raise ConfigError(f"--ready-file {path} exists and no gateway wrote it; remove it, or give another path")
        self.remove()

    def write(self, **ports: int | None) -> None:
        """Write the ports, whole or not at all: who waits for the file never reads half of it."""
        if self._path is not None:
            write_whole(self._path, json.dumps(ports).encode())

    def remove(self) -> None:
        """Take it away, if it is there."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            written = json.loads(file.read(_MAX_READY_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(written, dict) and {"port", "metrics_port"} <= written.keys() <= {"port", "metrics_port", "admin_port"}
