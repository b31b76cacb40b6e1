"""Replay against a real gateway: each adversary asks as it says, and what was answered is never asked again."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from miniature import quiet, stripes

from evaluation.adversaries.averaging import Averaging
from evaluation.adversaries.base import Adversary
from evaluation.adversaries.matched import Matched
from evaluation.adversaries.soft import Soft
from evaluation.adversaries.sybil import Sybil
from evaluation.attacks.activethief_uncertainty import ActiveThiefUncertainty
from evaluation.attacks.base import Attack, Pool
from evaluation.attacks.jbda import Jbda
from evaluation.attacks.knockoff import Knockoff
from evaluation.ledger import read_transfer_set
from evaluation.replay import Budget, Campaign, replay
from evaluation.target import Pace, answers, look_up
from evaluation.transfer import TransferSet
from grpc_api.client import GuardClient
from guard.errors import ConfigError, PermissionDeniedError
from guard.images import reencode
from knockguard.gateway_process import RunningGateway, gateway

ASKED = "knockguard_rows_total"


def campaign(path: Path, adversary: Adversary, *, attack: Attack | None = None, turn: int = 20, n_pool: int = 90) -> Campaign:
    return Campaign(attack or Knockoff(), adversary, Pool(stripes(n_pool, seed=40)), 3, path, "tests", turn)


def steal(
    running: RunningGateway, which: Campaign, n: int, *, keys: Sequence[str | None] = (None,), pace: Pace | None = None
) -> TransferSet:
    async def ask() -> TransferSet:
        clients = [GuardClient(running.address, api_key=key) for key in keys]
        for client in clients:
            await client.__aenter__()
        try:
            target = await look_up(clients[0], "discs")
            return await replay(clients, target, which, Budget(n, pace or Pace()), progress=quiet)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)

    return asyncio.run(ask())


def test_averaging_asks_near_duplicates_of_each_image_and_counts_them(running: RunningGateway, tmp_path: Path) -> None:
    before = running.counter(ASKED)
    stolen = steal(running, campaign(tmp_path / "t.npz", Averaging(copies=5, levels=2)), 50)
    assert running.counter(ASKED) - before == len(stolen) == 50
    groups = stolen.queries.sources.reshape(10, 5)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0].tolist())) == 10
    pixels = stolen.queries.pixels.reshape(10, 5, -1).astype(int)
    gaps = np.abs(pixels - pixels[:, :1]).max(axis=2)
    assert (gaps[:, 1:] <= 2).all()
    assert (gaps[:, 1:] > 0).all()


def test_matched_asks_what_the_pool_shows_after_the_codec(running: RunningGateway, tmp_path: Path) -> None:
    which = campaign(tmp_path / "t.npz", Matched(quality=60))
    stolen = steal(running, which, 30)
    wanted = np.stack([reencode(image, quality=60) for image in which.pool.pixels[stolen.queries.sources]])
    np.testing.assert_array_equal(stolen.queries.pixels, wanted)
    assert (stolen.queries.pixels != which.pool.pixels[stolen.queries.sources]).any()

    async def told() -> np.ndarray:
        async with GuardClient(running.address) as client:
            return await answers(client, await look_up(client, "discs"), wanted)

    np.testing.assert_allclose(stolen.answers, asyncio.run(told()), atol=1e-5)


def test_sybil_asks_from_each_of_its_clients_in_turn(bundle: Path, tmp_path: Path) -> None:
    keys = [f"key {i}" for i in range(3)]
    lines = [f"thief{i}:{sha256(key.encode()).hexdigest()}" for i, key in enumerate(keys)]
    (tmp_path / "keys").write_text("\n".join(lines))
    with gateway(bundle, log=tmp_path / "log", arguments=["--api-keys", str(tmp_path / "keys")]) as running:
        stolen = steal(running, campaign(tmp_path / "t.npz", Sybil(identities=3)), 50, keys=keys)
        assert [running.counter(ASKED, tenant=f"thief{i}") for i in range(3)] == [17, 17, 16]
        alone = steal(running, campaign(tmp_path / "u.npz", Soft()), 50, keys=keys[:1])
    np.testing.assert_array_equal(stolen.queries.sources, alone.queries.sources)
    np.testing.assert_allclose(stolen.answers, alone.answers, atol=1e-5)


def test_sybil_with_too_few_clients_asks_nothing(running: RunningGateway, tmp_path: Path) -> None:
    before = running.counter(ASKED)
    with pytest.raises(ConfigError, match="asks as 3 clients, and there are 1"):
        steal(running, campaign(tmp_path / "t.npz", Sybil(identities=3)), 50)
    assert running.counter(ASKED) == before


def test_turn_that_holds_not_one_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a turn must hold one image"):
        campaign(tmp_path / "t.npz", Averaging(copies=5), turn=4)


ATTACKS = {
    "knockoff": Knockoff(),
    "uncertainty": ActiveThiefUncertainty(n_candidates=40, epochs=1),
    "jbda": Jbda(n_seeds=8, epochs=1),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_smaller_budget_is_the_first_part_of_a_larger_one_wherever_it_ends(
    name: str, running: RunningGateway, tmp_path: Path
) -> None:
    """Also when the larger one goes on from the smaller one, in the midst of a turn, and at another pace."""
    whole = steal(running, campaign(tmp_path / "whole.npz", Soft(), attack=ATTACKS[name]), 50)
    parts = campaign(tmp_path / "parts.npz", Soft(), attack=ATTACKS[name])
    before = running.counter(ASKED)
    for n in (7, 31, 50, 20):
        part = steal(running, parts, n, pace=Pace(rows=3, window=2))
        np.testing.assert_array_equal(part.queries.pixels, whole.queries.pixels[:n])
        np.testing.assert_array_equal(part.queries.sources, whole.queries.sources[:n])
    assert running.counter(ASKED) - before == 50


def test_other_campaign_does_not_go_on(running: RunningGateway, tmp_path: Path) -> None:
    first = campaign(tmp_path / "t.npz", Soft())
    steal(running, first, 10)
    for other in (replace(first, seed=4), replace(first, endpoint="elsewhere"), replace(first, adversary=Averaging())):
        with pytest.raises(ConfigError, match="and now it is"):
            steal(running, other, 20)
    assert len(read_transfer_set(first.path)) == 10


KILLED = """
    import asyncio, sys
    from pathlib import Path
    import numpy as np
    from evaluation.adversaries.soft import Soft
    from evaluation.attacks.base import Pool
    from evaluation.attacks.knockoff import Knockoff
    from evaluation.replay import Budget, Campaign, replay
    from evaluation.target import Pace, look_up
    from grpc_api.client import GuardClient

    async def main(address, path):
        pool = Pool(np.random.default_rng(0).integers(0, 256, (2000, 24, 24, 3), dtype=np.uint8))
        campaign = Campaign(Knockoff(), Soft(), pool, 3, Path(path), "tests")
        pace = Pace(rows=1, window=2)
        async with GuardClient(address) as client:
            await replay([client], await look_up(client, "discs"), campaign, Budget(2000, pace), progress=lambda *_: None)

    asyncio.run(main(*sys.argv[1:]))
"""


def test_killed_attack_asks_nothing_again_that_was_answered(running: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    log = path.with_name("t.npz.log")
    before = running.counter(ASKED)
    with subprocess.Popen([sys.executable, "-c", dedent(KILLED), running.address, str(path)]) as process:
        deadline = time.monotonic() + 60
        while not (log.exists() and log.stat().st_size > 100_000):  # some 60 rows
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    time.sleep(0.3)  # what was under way is answered, to nobody
    asked = running.counter(ASKED) - before
    assert 50 < asked < 2000

    pool = Pool(np.random.default_rng(0).integers(0, 256, (2000, 24, 24, 3), dtype=np.uint8))
    which = Campaign(Knockoff(), Soft(), pool, 3, path, "tests")
    stolen = steal(running, which, 2000, pace=Pace(rows=32))
    assert running.counter(ASKED) - before <= 2000 + 2  # two requests of one row were under way
    np.testing.assert_array_equal(stolen.queries.pixels, pool.pixels[stolen.queries.sources])
    assert len(set(stolen.queries.sources.tolist())) == 2000
    anew = steal(running, replace(which, path=tmp_path / "anew.npz"), 2000, pace=Pace(rows=32))
    np.testing.assert_array_equal(stolen.queries.sources, anew.queries.sources)
    np.testing.assert_allclose(stolen.answers, anew.answers, atol=1e-5)


def test_refused_request_is_asked_row_by_row_so_that_flagged_rows_alone_are_lost(bundle: Path, tmp_path: Path) -> None:
    from miniature import discs

    images = np.stack([image for pair in zip(discs(20, seed=50)[0], stripes(20, seed=51), strict=True) for image in pair])
    with gateway(bundle, log=tmp_path / "log", arguments=["--policy", "refuse"]) as running:

        async def told() -> tuple[np.ndarray, list[bool]]:
            async with GuardClient(running.address) as client:
                target = await look_up(client, "discs")
                together = await answers(client, target, images, pace=Pace(rows=8))
                singly = []
                for image in images:
                    try:
                        await client.infer("discs", target.input_name, image[None])
                        singly.append(True)
                    except PermissionDeniedError:
                        singly.append(False)
                return together, singly

        together, singly = asyncio.run(told())
    assert (together.sum(axis=1) > 0).tolist() == singly
    assert 15 <= sum(singly) <= 25
