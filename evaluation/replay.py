"""Replay: an attack carried out against a live gateway, over gRPC, as a client meets it.

What is stored is asked once: an attack that was cut off goes on from its stored transfer set.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from evaluation.attacks.base import Attack, Pool, Turn
from evaluation.transfer import Queries, TransferSet, nothing_asked
from grpc_api.client import GuardClient
from guard.errors import InvalidInputError, PermissionDeniedError
from guard.types import Floats, Pixels, Reporter
from guard.whole import write_whole


@dataclass(frozen=True, slots=True)
class Budget:
    """`n_queries` in all, `turn` of them before the attack chooses again, `rows` in a request, `window` requests at once."""

    n_queries: int
    turn: int = 512
    rows: int = 16
    window: int = 8

    def __post_init__(self) -> None:
        if min(self.n_queries, self.turn, self.rows, self.window) < 1:
            raise InvalidInputError(f"{self}: every number must be at least 1")


@dataclass(frozen=True, slots=True)
class Target:
    """A model behind a gateway, as its metadata describes it: uint8 images are welcome, so the size is all that matters."""

    model: str
    input_name: str
    size: tuple[int, int]
    n_classes: int


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
    return Target(model, metadata.inputs[0].name, size, outputs[0][1])


@dataclass(frozen=True, slots=True)
class Campaign:
    """One attack with its pool and seed, and the file that its transfer set is kept in."""

    attack: Attack
    pool: Pool
    seed: int
    path: Path


async def replay(client: GuardClient, target: Target, campaign: Campaign, budget: Budget, *, progress: Reporter) -> TransferSet:
    """Ask until the budget is spent or the attack has no more to ask; return everything asked, in order.

    After each turn the transfer set is at the campaign's path, whole. What lies there from before is gone on from. Raises what
    the client raises.
    """
    path = campaign.path
    asked = _asked_before(path, target) if path.exists() else nothing_asked(side=target.size, n_classes=target.n_classes)
    while len(asked) < budget.n_queries:
        turn = Turn(campaign.pool, asked, min(budget.turn, budget.n_queries - len(asked)), campaign.seed)
        queries = campaign.attack.next_queries(turn)
        if not len(queries):
            break
        answers = await _answers(client, target, queries.pixels, budget)
        asked = asked.joined(queries, answers)
        write_transfer_set(asked, path)
        progress(len(asked), budget.n_queries)
    return asked.first(budget.n_queries)


def _asked_before(path: Path, target: Target) -> TransferSet:
    """Return the stored transfer set; InvalidInputError if another kind of model gave its answers."""
    asked = read_transfer_set(path)
    side = asked.queries.pixels.shape[1:3]
    if (side, asked.n_classes) != (target.size, target.n_classes):
        raise InvalidInputError(
            f"{path} holds answers with {asked.n_classes} classes to images of {side}, and {target.model!r} gives "
            f"{target.n_classes} to {target.size}; remove the file to ask anew"
        )
    return asked


async def _answers(client: GuardClient, target: Target, pixels: Pixels, budget: Budget) -> Floats:
    """Return one answer a row. Rows that the gateway refuses are zeros: they tell nothing."""
    try:
        batches = _batches(pixels, budget.rows)
        rows = [a async for a in client.ask(target.model, target.input_name, batches, window=budget.window)]
        return np.concatenate(rows)
    except PermissionDeniedError:
        return np.stack([await _one(client, target, image) for image in pixels])


async def _one(client: GuardClient, target: Target, image: Pixels) -> Floats:
    try:
        return np.asarray((await client.infer(target.model, target.input_name, image[None]))[0])
    except PermissionDeniedError:
        return np.zeros(target.n_classes, np.float32)


def _batches(pixels: Pixels, rows: int) -> Iterator[Pixels]:
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]


def write_transfer_set(asked: TransferSet, path: Path) -> None:
    """Write queries and answers, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, pixels=asked.queries.pixels, sources=asked.queries.sources, answers=asked.answers)
    write_whole(path, buffer.getvalue())


def read_transfer_set(path: Path) -> TransferSet:
    """Read what `write_transfer_set` wrote; InvalidInputError if it is something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return TransferSet(Queries(file["pixels"], file["sources"]), file["answers"])
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InvalidInputError(f"{path} holds no transfer set ({error}); remove it to ask anew") from None
