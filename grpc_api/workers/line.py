"""The line between a supervisor and a worker: the worker's standard input and output, with a line of JSON at a time.

The supervisor sends the order, and later "go"; the worker says "loaded" before it and "answering" after it, or why it cannot.
When the line breaks the supervisor is gone, however it went: then the worker drains and ends.
"""

import asyncio
import json
import os
import signal
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grpc_api.settings import GatewaySettings

LOADED, ANSWERING, FAILED = "loaded", "answering", "failed"
GO = b"go\n"
_MARGIN_S = 5.0  # beyond the drain, for what ends after it


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told: its number, the socket at which the supervisor asks it, and the settings that it serves by."""

    number: int
    socket: Path
    settings: GatewaySettings

    def encoded(self) -> bytes:
        """Return it as a line. What was not set is left out: some settings ask whether they were."""
        settings = self.settings.model_dump(mode="json", exclude_unset=True)
        return json.dumps({"number": self.number, "socket": str(self.socket), "settings": settings}).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> "Order":
        """Return the order of a line."""
        told = json.loads(line)
        return cls(told["number"], Path(told["socket"]), GatewaySettings.model_validate(told["settings"]))


class Line:
    """The worker's end of it."""

    def __init__(self) -> None:
        """Take standard output for the line, wait for the order, and end with the supervisor from now on."""
        self._out = os.dup(1)
        os.dup2(2, 1)  # what prints goes to the log
        self.order = Order.decoded(_read_line())
        self.broken = False
        self._go: Future[None] = Future()
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()

    def tell(self, state: str, **more: str) -> None:
        """Say how far this worker is."""
        with suppress(BrokenPipeError):  # nobody is there to hear it
            os.write(self._out, json.dumps({"state": state, **more}).encode() + b"\n")

    async def go(self) -> None:
        """Wait until the supervisor lets this worker answer."""
        await asyncio.wrap_future(self._go)

    def _listen(self) -> None:
        while line := _read_line():
            if line == GO:
                self._go.set_result(None)
        self.broken = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.order.settings.drain_s + _MARGIN_S)
        os._exit(1)  # nobody else would end what does not end by itself


def _read_line() -> bytes:
    """Return what is sent up to a line's end, nothing once the line is broken.

    Not by `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends.
    """
    line = b""
    while not line.endswith(b"\n") and (part := os.read(0, 1 << 16)):
        line += part
    return line
