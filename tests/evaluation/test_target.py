"""A model as a client finds it: one that is asked for time waits, within reason."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import write_tiny

from evaluation.target import Pace, answers, look_up
from grpc_api.client import GuardClient
from guard.errors import QuotaExceededError
from guard.types import Floats
from knockguard.gateway_process import gateway


def test_rate_is_waited_for_and_a_quota_that_is_used_up_ends_it(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("[default]\nrows_per_s = 50\nburst_rows = 8\nquota_rows = 24\nwindow_hours = 8784\n")
    bundle, words = write_tiny(tmp_path / "tiny"), ("--tenant-limits", str(tmp_path / "limits.toml"))
    images = np.zeros((16, 4, 4, 3), np.uint8)

    async def ask(address: str) -> Floats:
        async with GuardClient(address) as client:
            return await answers(client, await look_up(client, "tiny"), images, pace=Pace(rows=8, window=2))

    with gateway(bundle, log=tmp_path / "log", arguments=words) as served:
        assert asyncio.run(ask(served.address)).shape == (16, 3)
        assert served.counter("knockguard_limited_requests_total", limit="rate") > 0
        with pytest.raises(QuotaExceededError, match="rows of 24 in 8784 h are used"):
            asyncio.run(ask(served.address))
