"""The demo's clients: a customer and a copier, each with a key of its own, before a gateway in a process of its own."""

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe

import numpy as np

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Attack, Pool
from evaluation.replay import Budget, Campaign, replay
from evaluation.target import look_up
from evaluation.transfer import TransferSet
from grpc_api.client import GuardClient
from guard.types import Floats, Pixels, Reporter
from knockguard.gateway_process import RunningGateway, gateway

CUSTOMER, COPIER = "customer", "copier"
_FLAGGED, _ROWS = "knockguard_flagged_rows_total", 32


@dataclass(frozen=True, slots=True)
class Served:
    """What both got, and how many of their rows were flagged: the gateway's own count, which neither of them can see."""

    benign: Floats  # (n, k), the customer's answers
    benign_flagged: int
    stolen: TransferSet
    flagged: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One gateway: its bundle and policy, the customer's images, the copier's attack and pool."""

    bundle: Path
    model: str
    policy: str
    apply_to: str
    customer: Pixels
    attack: Attack
    pool: Pool
    budgets: tuple[Budget, ...]  # the flags are counted when the first is spent; the rest is for the budget curve
    seed: int


def play(scene: Scene, scratch: Path, *, log: Path, progress: Reporter) -> Served:
    """Start the gateway, let both ask, stop it. Keys and secret are made for this scene, in `scratch`, and go with it."""
    keys = {name: token_urlsafe(32) for name in (CUSTOMER, COPIER)}
    keys_file, secret_file = scratch / "keys", scratch / "secret"
    keys_file.write_text("".join(f"{name}:{sha256(key.encode()).hexdigest()}\n" for name, key in keys.items()))
    # Not random, so that a run can be repeated to the last digit. It guards nothing beyond this scene.
    secret_file.touch(mode=0o600)
    secret_file.write_bytes(sha256(f"knockguard demo {scene.seed}".encode()).digest())
    arguments = ["--policy", scene.policy, "--apply-to", scene.apply_to]
    arguments += ["--api-keys", str(keys_file), "--secret-file", str(secret_file)]
    with gateway(scene.bundle, log=log, arguments=arguments) as running:
        benign = asyncio.run(_shop(scene, running, keys[CUSTOMER]))
        campaign = Campaign(
            attack=scene.attack,
            adversary=ADVERSARIES.get("soft")(),
            pool=scene.pool,
            seed=scene.seed,
            path=scratch / "transfer.npz",
            endpoint=f"{scene.policy} to {scene.apply_to}",
        )
        flagged = []
        for budget in scene.budgets:
            stolen = asyncio.run(
                _steal(scene.model, GuardClient(running.address, api_key=keys[COPIER]), campaign, budget, progress)
            )
            flagged.append(running.counter(_FLAGGED, tenant=COPIER))
        benign_flagged = running.counter(_FLAGGED, tenant=CUSTOMER)
    return Served(benign, benign_flagged, stolen, flagged[0])


async def _shop(scene: Scene, running: RunningGateway, key: str) -> Floats:
    async with GuardClient(running.address, api_key=key) as client:
        target = await look_up(client, scene.model)
        batches = [scene.customer[i : i + _ROWS] for i in range(0, len(scene.customer), _ROWS)]
        benign = [answer async for answer in client.ask(scene.model, target.input_name, batches)]
    return np.concatenate(benign)


async def _steal(model: str, client: GuardClient, campaign: Campaign, budget: Budget, progress: Reporter) -> TransferSet:
    """Ask as a client; a later call goes on where the earlier one stopped."""
    async with client:
        return await replay([client], await look_up(client, model), campaign, budget, progress=progress)
