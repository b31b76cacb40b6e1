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
_ANSWER_TIMEOUT_S = 600.0  # eight requests of a large network wait for each other, on a machine that may be busy


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running gateway and its clients' keys."""

    address: str
    keys: tuple[str, ...]

    def benign(self, pixels: Pixels) -> Floats:
        """Return a customer's answers (n, k), asked one request after another."""
        return asyncio.run(self._benign(pixels))

    def steal(self, campaign: Campaign, n_queries: int, *, first_key: int, progress: Reporter) -> TransferSet:
        """Carry an attack out with keys that nobody used before it."""
        keys = self.keys[first_key : first_key + campaign.adversary.n_clients]
        return asyncio.run(self._steal(campaign, n_queries, keys, progress))

    async def _benign(self, pixels: Pixels) -> Floats:
        async with GuardClient(self.address, api_key=self.keys[0], timeout_s=_ANSWER_TIMEOUT_S) as client:
            return await answers(client, await look_up(client, MODEL), pixels, pace=Pace(ROWS, 4))

    async def _steal(self, campaign: Campaign, n_queries: int, keys: Sequence[str], progress: Reporter) -> TransferSet:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(GuardClient(self.address, api_key=key, timeout_s=_ANSWER_TIMEOUT_S))
                for key in keys
            ]
            target = await look_up(clients[0], MODEL)
            return await replay(clients, target, campaign, Budget(n_queries, Pace(ROWS, 8)), progress=progress)


@contextmanager
def served(bundle: Path, policy: Policy, *, n_clients: int, seed: int, log: Path) -> Iterator[Endpoint]:
    """Serve a bundle under one policy to a customer and to `n_clients` others for as long as the block runs."""
    keys = tuple(token_urlsafe(32) for _ in range(n_clients + 1))
    tenants = [CUSTOMER, *(f"client{i}" for i in range(n_clients))]
    with TemporaryDirectory(prefix="knockguard-") as name:
        folder = Path(name)
        lines = (f"{tenant}:{sha256(key.encode()).hexdigest()}\n" for tenant, key in zip(tenants, keys, strict=True))
        (folder / "keys").write_text("".join(lines))
        # Not random, so that a run can be repeated to the last digit. It guards nothing beyond this run.
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_bytes(sha256(f"knockguard evaluate {seed}".encode()).digest())
        # A batch never holds two requests: what rows are computed with must not hang on timing, or last digits would.
        # An experiment without a detector serves a bundle that flags nothing, knowingly.
        (folder / "gateway.toml").write_text(f"unguarded = true\n[limits]\nmax_batch_rows = {ROWS}\n")
        arguments = ["--config", str(folder / "gateway.toml"), "--policy", policy.name, "--apply-to", policy.apply_to.value]
        arguments += ["--api-keys", str(folder / "keys"), "--secret-file", str(folder / "secret")]
        for key, value in policy.options.items():
            arguments += ["--option", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
        with gateway(bundle, log=log, arguments=arguments) as running:
            yield Endpoint(running.address, keys)
