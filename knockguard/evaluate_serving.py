"""An evaluation's gateways: a process of its own for each bundle and policy, a key for every client."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from evaluation.client_limits import ClientLimits
from evaluation.experiment_file import Policy
from evaluation.replay import Budget, Campaign, replay
from evaluation.target import Pace, answers, look_up
from evaluation.transfer import TransferSet
from grpc_api.client import GuardClient
from guard.types import Floats, Pixels, Reporter
from knockguard.evaluate_victim import MODEL
from knockguard.gateway_process import gateway

CUSTOMER = "customer"
ROWS = 16
_LONGEST_WINDOW_H = 24 * 366  # of a quota: no run sees the next one
_ANSWER_TIMEOUT_S = 600.0  # eight requests of a large network wait for each other, on a machine that may be busy


@dataclass(frozen=True, slots=True)
class Clients:
    """How many there are beside the customer, and what each of them may ask; the customer may ask anything."""

    n: int
    limits: ClientLimits

    @property
    def rows(self) -> int:
        """How many rows a thief asks about at once.

        A request is refused as a whole when one of its rows is, and counts: who may ask so much and no more asks row by row.
        """
        return ROWS if self.limits.rows_per_client is None else 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running gateway, and the keys of the customer and its other clients."""

    address: str
    keys: tuple[str, ...]
    clients: Clients

    def benign(self, pixels: Pixels) -> Floats:
        """Return a customer's answers (n, k), asked one request after another."""
        return asyncio.run(self._benign(pixels))

    def steal(self, campaign: Campaign, n_queries: int, *, first_key: int, progress: Reporter) -> TransferSet:
        """Carry an attack out with keys that nobody used before it, as far as they may ask."""
        keys = self.keys[first_key : first_key + campaign.adversary.n_clients]
        budget = Budget(self.clients.limits.queries(n_queries, n_clients=len(keys)), Pace(self.clients.rows, 8))
        return asyncio.run(self._steal(campaign, budget, keys, progress))

    async def _benign(self, pixels: Pixels) -> Floats:
        async with GuardClient(self.address, api_key=self.keys[0], timeout_s=_ANSWER_TIMEOUT_S) as client:
            return await answers(client, await look_up(client, MODEL), pixels, pace=Pace(ROWS, 4))

    async def _steal(self, campaign: Campaign, budget: Budget, keys: Sequence[str], progress: Reporter) -> TransferSet:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(GuardClient(self.address, api_key=key, timeout_s=_ANSWER_TIMEOUT_S))
                for key in keys
            ]
            target = await look_up(clients[0], MODEL)
            return await replay(clients, target, campaign, budget, progress=progress)


@contextmanager
def served(bundle: Path, policy: Policy, clients: Clients, *, seed: int, log: Path) -> Iterator[Endpoint]:
    """Serve a bundle under one policy to a customer and to these clients for as long as the block runs."""
    keys = tuple(token_urlsafe(32) for _ in range(clients.n + 1))
    tenants = [CUSTOMER, *(f"client{i}" for i in range(clients.n))]
    with TemporaryDirectory(prefix="knockguard-") as name:
        folder = Path(name)
        lines = (f"{tenant}:{sha256(key.encode()).hexdigest()}\n" for tenant, key in zip(tenants, keys, strict=True))
        (folder / "keys").write_text("".join(lines))
        # Not random, so that a run can be repeated to the last digit. It guards nothing beyond this run.
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_bytes(sha256(f"knockguard evaluate {seed}".encode()).digest())
        # A batch never holds two requests: what rows are computed with must not hang on timing, or last digits would.
        # An experiment without a detector serves a bundle that flags nothing, knowingly.
        (folder / "gateway.toml").write_text(f"unguarded = true\n[limits]\nmax_batch_rows = {clients.rows}\n")
        arguments = ["--config", str(folder / "gateway.toml"), "--policy", policy.name, "--apply-to", policy.apply_to.value]
        arguments += ["--api-keys", str(folder / "keys"), "--secret-file", str(folder / "secret")]
        if (rows := clients.limits.rows_per_client) is not None:
            quota = f"[default]\nquota_rows = {rows}\nwindow_hours = {_LONGEST_WINDOW_H}\n"
            (folder / "limits").write_text(f"{quota}[tenants.{CUSTOMER}]\n")
            arguments += ["--tenant-limits", str(folder / "limits")]
        for key, value in policy.options.items():
            arguments += ["--option", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
        with gateway(bundle, log=log, arguments=arguments) as running:
            yield Endpoint(running.address, keys, clients)
