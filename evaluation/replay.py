"""Replay: an attack carried out against a live gateway, over gRPC, as a client meets it.

What was answered is never asked again, whatever ended the attack: see `evaluation.ledger`. A transfer set is a function of the
campaign and of the answers, not of the budget: the attack always chooses whole turns, and a budget that ends within one is spent
on the turn's first part. So a smaller budget's queries are the first of a larger one's.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from evaluation.adversaries.base import Adversary
from evaluation.attacks.base import Attack, Pool, Turn
from evaluation.ledger import open_ledger
from evaluation.target import Pace, Target, ask_rows
from evaluation.transfer import Queries, TransferSet
from grpc_api.client import GuardClient
from guard.errors import ConfigError, InvalidInputError
from guard.types import Reporter

TURN = 512  # queries


@dataclass(frozen=True, slots=True)
class Budget:
    """`n_queries` in all, asked at this pace."""

    n_queries: int
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        if self.n_queries < 1:
            raise InvalidInputError(f"a budget of {self.n_queries} queries; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Campaign:
    """One attack, with the pool and the seed that it chooses by, as one adversary asks it, against one endpoint.

    `path` is where the transfer set is kept. `endpoint` is what else the answers depend on and a client cannot ask for: an
    address, a bundle and its policy. The attack chooses anew after each `turn` queries.
    """

    attack: Attack
    adversary: Adversary
    pool: Pool
    seed: int
    path: Path
    endpoint: str
    turn: int = TURN

    def __post_init__(self) -> None:
        check_turn(self.adversary, self.turn)

    def facts(self, target: Target) -> dict[str, str]:
        """Return what the transfer set depends on, in words."""
        return {
            "attack": self.attack.asking,
            "adversary": self.adversary.asking,
            "seed": str(self.seed),
            "turn": str(self.turn),
            "pool": _digest(self.pool),
            "endpoint": self.endpoint,
            "model": f"{target.model} {','.join(target.versions)} {target.platform}".strip(),
            "images": f"{target.size[0]} x {target.size[1]}",
            "classes": str(target.n_classes),
        }

    def next_queries(self, asked: TransferSet) -> Queries:
        """Return what a whole turn asks after these whole turns."""
        turn = Turn(self.pool, self.adversary.heard(asked), self.turn // self.adversary.n_copies, self.seed)
        return self.adversary.expand(self.attack.next_queries(turn))


def check_turn(adversary: Adversary, turn: int = TURN) -> None:
    """ConfigError if a turn does not hold all that the adversary asks for one image."""
    if turn < adversary.n_copies:
        raise ConfigError(
            f"a turn of {turn} queries and an adversary that asks {adversary.n_copies} for one; "
            "a turn must hold one image at least"
        )


async def replay(
    clients: Sequence[GuardClient], target: Target, campaign: Campaign, budget: Budget, *, progress: Reporter
) -> TransferSet:
    """Ask until the budget is spent or the attack has no more to ask; return everything asked, in order.

    One client for each identity of the adversary's, ConfigError if there are fewer. What lies at the campaign's path from before
    is gone on from; ConfigError if something else asked it. Raises what the clients raise; what was answered until then is kept.
    """
    adversary, n = campaign.adversary, budget.n_queries
    if len(clients) < adversary.n_clients:
        raise ConfigError(f"the {adversary.name} adversary asks as {adversary.n_clients} clients, and there are {len(clients)}")
    with open_ledger(campaign.path, campaign.facts(target), side=target.size, n_classes=target.n_classes) as ledger:
        while (start := len(ledger.done)) < n and len(whole := campaign.next_queries(ledger.done)):
            queries = whole.first(n - start)
            missing = ledger.missing(queries)
            who = adversary.client_of(start, len(queries))[missing]
            n_answered = start + len(queries) - len(missing)
            async with aclosing(ask_rows(clients, target, queries.pixels[missing], who, pace=budget.pace)) as coming:
                async for rows, answers in coming:
                    ledger.enter(missing[rows], queries, answers)
                    n_answered += len(rows)
                    progress(n_answered, n)
            if len(queries) < len(whole):
                break
            ledger.end_turn()
        ledger.fold()
        return ledger.asked().first(n)


def _digest(pool: Pool) -> str:
    digest = sha256(repr(pool.pixels.shape).encode())
    digest.update(np.ascontiguousarray(pool.pixels).data)
    if pool.groups is not None:
        digest.update(np.ascontiguousarray(pool.groups).data)
    return f"of {len(pool)} images {digest.hexdigest()[:16]}"
