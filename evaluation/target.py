"""A model behind a gateway, or behind any V2 server, as a client finds it: what it takes, and its answers to images."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from grpc_api.client import GuardClient
from guard.errors import InvalidInputError, PermissionDeniedError, QuotaExceededError
from guard.types import Floats, Ints, Pixels

_PATIENCE = 20  # times that one request is sent again to a server that asks for time
_LONGEST_WAIT_S = 300.0  # a quota may ask for a day: then it is better to end, and to go on when there is a new one


@dataclass(frozen=True, slots=True)
class Target:
    """A model as its metadata describes it: uint8 images are welcome, so the size is all that matters."""

    model: str
    input_name: str
    size: tuple[int, int]
    n_classes: int
    versions: tuple[str, ...] = ()
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """`rows` in a request, `window` requests at once."""

    rows: int = 16
    window: int = 8

    def __post_init__(self) -> None:
        if min(self.rows, self.window) < 1:
            raise InvalidInputError(f"{self}: every number must be at least 1")


async def look_up(client: GuardClient, model: str) -> Target:
    """Ask a server what its model takes; InvalidInputError if that is not one image."""
    metadata = await client.metadata(model)
    shapes = [tuple(i.shape) for i in metadata.inputs]
    outputs = [tuple(o.shape) for o in metadata.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or not outputs or len(outputs[0]) != 2:
        raise InvalidInputError(
            f"model {model!r} takes {shapes} and gives {outputs}; an attack needs one image in, (n, classes) out"
        )
    _, a, b, c = shapes[0]
    size = (a, b) if c == 3 else (b, c)
    return Target(model, metadata.inputs[0].name, size, outputs[0][1], tuple(metadata.versions), metadata.platform)


async def answers(client: GuardClient, target: Target, pixels: Pixels, *, pace: Pace | None = None) -> Floats:
    """Return a model's answers (n, k) to (n, h, w, 3) images, in order, as any one client gets them; refused rows are zeros."""
    told = np.zeros((len(pixels), target.n_classes), np.float32)
    who = np.zeros(len(pixels), np.int64)
    async with aclosing(ask_rows([client], target, pixels, who, pace=pace or Pace())) as coming:
        async for rows, got in coming:
            told[rows] = got
    return told


async def ask_rows(
    clients: Sequence[GuardClient], target: Target, pixels: Pixels, who: Ints, *, pace: Pace
) -> AsyncGenerator[tuple[Ints, Floats], None]:
    """Ask about each image as the client that `who` (n,) gives it; yield row numbers and their answers as they come.

    A request is refused as a whole when one of its rows is, so its rows are asked again one by one, and all rows after it singly
    as well: what is refused then is that row, and is zeros. A server that asks for time gets it. Raises what a client raises,
    after the answers that came at the same time were yielded.
    """
    waiting = _Waiting(who, rows=pace.rows)
    pending: set[asyncio.Task[tuple[Ints, Floats]]] = set()
    try:
        while True:
            while len(pending) < pace.window and (rows := waiting.next()) is not None:
                pending.add(asyncio.create_task(_ask(clients[who[rows[0]]], target, pixels, rows, waiting)))
            if not pending:
                return
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda t: t.exception() is not None):
                yield task.result()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)  # so that none ends unheard


class _Waiting:
    """The rows that nobody asked about yet, each client's in order; `rows` of them make the next request."""

    def __init__(self, who: Ints, *, rows: int) -> None:
        self.rows = rows
        self._queues = deque(deque(np.flatnonzero(who == client).tolist()) for client in np.unique(who))

    def next(self) -> Ints | None:
        """Return the rows of the next request, clients in turn; None when there are none left."""
        if not self._queues:
            return None
        queue = self._queues.popleft()
        taken = [queue.popleft() for _ in range(min(self.rows, len(queue)))]
        if queue:
            self._queues.append(queue)
        return np.array(taken, np.int64)


async def _ask(client: GuardClient, target: Target, pixels: Pixels, rows: Ints, waiting: _Waiting) -> tuple[Ints, Floats]:
    try:
        return rows, await _patiently(client, target, pixels[rows])
    except PermissionDeniedError:
        waiting.rows = 1
        if len(rows) == 1:
            return rows, np.zeros((1, target.n_classes), np.float32)
        singly = [(await _ask(client, target, pixels, row, waiting))[1] for row in _one_by_one(rows)]
        return rows, np.concatenate(singly)


def _one_by_one(rows: Ints) -> Iterator[Ints]:
    for row in rows:
        yield np.array([row], np.int64)


async def _patiently(client: GuardClient, target: Target, pixels: Pixels) -> Floats:
    for _ in range(_PATIENCE):
        try:
            return await client.infer(target.model, target.input_name, pixels)
        except QuotaExceededError as error:
            if error.retry_after_s > _LONGEST_WAIT_S:
                raise
            await asyncio.sleep(error.retry_after_s)
    return await client.infer(target.model, target.input_name, pixels)
