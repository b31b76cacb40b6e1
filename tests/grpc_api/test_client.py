"""Our own client: answers in order, and our errors whatever the status."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grpc_api.client import GuardClient
from guard.errors import BackendError, InvalidInputError, ModelNotFoundError, UnauthenticatedError


def test_answers_come_in_the_order_of_the_questions(gateway: Any, dark: Callable[..., np.ndarray]) -> None:
    async def main() -> list[np.ndarray]:
        async with GuardClient(gateway.address) as client:
            assert await client.live()
            assert await client.ready()
            assert await client.ready("tiny")
            assert (await client.metadata("tiny")).name == "tiny"
            batches = [dark(n) * np.float32(1 + n / 10) for n in (1, 4, 2, 3, 1, 2)]
            together = [a async for a in client.ask("tiny", "image", batches, window=3)]
            for batch, answer in zip(batches, together, strict=True):
                np.testing.assert_allclose(answer, await client.infer("tiny", "image", batch), atol=1e-6)
            return together

    assert [len(a) for a in asyncio.run(main())] == [1, 4, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("model", "images", "kind"),
    [
        ("none", np.zeros((1, 3, 4, 4), np.float32), ModelNotFoundError),
        ("tiny", np.zeros((1, 3, 9, 9), np.float32), InvalidInputError),
    ],
)
def test_status_becomes_our_error(gateway: Any, model: str, images: np.ndarray, kind: type[Exception]) -> None:
    async def main() -> None:
        async with GuardClient(gateway.address) as client:
            await client.infer(model, "image", images)

    with pytest.raises(kind):
        asyncio.run(main())


def test_missing_key_and_missing_server_are_told_apart(bundle: Path, start: Any, tmp_path: Path) -> None:
    async def main(address: str) -> None:
        async with GuardClient(address, timeout_s=5) as client:
            await client.live()

    (tmp_path / "keys").write_text(f"shop:{'0' * 64}\n")
    with start(bundle, "--api-keys", str(tmp_path / "keys")) as served, pytest.raises(UnauthenticatedError):
        asyncio.run(main(served.address))
    with pytest.raises(BackendError):
        asyncio.run(main(served.address))
