"""The gateway's wire, message by message: what the protocol's own clients would not send."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest


@pytest.fixture
def channel(gateway: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.address) as opened:
        yield opened
