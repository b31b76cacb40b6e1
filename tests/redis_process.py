"""A real Redis on loopback, by Debian's redis-server: started, killed, and started again in the same place."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class RedisServer:
    """Where it answers, and its process."""

    folder: Path
    port: int
    password: str | None = None
    tls: tuple[Path, Path] | None = None  # its certificate and key: then it speaks TLS alone
    process: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> bool:
        """Start it in its place; False if somebody else has taken that."""
        secret = [] if self.password is None else ["--requirepass", self.password]
        port = ["--port", str(self.port)]
        if self.tls is not None:
            certificate, key = map(str, self.tls)
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
        path = self.folder / "redis.log"
        with path.open("ab") as log:
            said = log.tell()
            command = ["redis-server", *port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            self.process = subprocess.Popen([*command, "--dir", str(self.folder), *secret], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if b"Ready to accept connections" in path.read_bytes()[said:]:  # the port may answer and be another's
                return True
            time.sleep(0.01)
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Keep it from answering, its connections open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def redis_server(folder: Path, *, password: str | None = None, tls: tuple[Path, Path] | None = None) -> Iterator[RedisServer]:
    """Run a Redis of its own for as long as the block runs; skips where there is no program or no client of it."""
    pytest.importorskip("redis", reason="no client of Redis; the extra redis has it")
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on the PATH; Debian's package of that name has it")
    for _ in range(10):  # a free port may be taken before it is ours
        with socket.create_server(("127.0.0.1", 0)) as free:
            server = RedisServer(folder, free.getsockname()[1], password, tls)
        if server.start():
            break
    else:
        pytest.fail(f"redis-server did not start: {(folder / 'redis.log').read_text()[-1000:]}")
    try:
        yield server
    finally:
        server.kill()
