"""What a supervisor tells its workers."""

from pathlib import Path

import pytest

from grpc_api.settings import GatewaySettings
from grpc_api.workers.line import Order
from grpc_api.workers.supervisor import settings_of_each

GIVEN = {
    "bundles": [Path("one"), Path("two")],
    "workers": 4,
    "policy": "top-k",
    "policy_options": {"k": 3, "share": 3.0, "strict": True, "kind": "1"},
    "limits.max_delay_ms": 2,
    "ready_file": Path("ready"),
    "clients.trusted_header": "x-tenant",
    "clients.trusted_tenants": ["shop"],
}


def test_order_arrives_as_it_was_given() -> None:
    order = Order(3, Path("/run/s"), GatewaySettings.of(GIVEN))
    line = order.encoded()
    assert line.count(b"\n") == 1
    again = Order.decoded(line)
    assert again == order
    assert {k: type(v) for k, v in again.settings.policy_options.items()} == {
        "k": int,
        "share": float,
        "strict": bool,
        "kind": str,
    }


@pytest.mark.parametrize(("threads", "n_cores", "each"), [(0, 16, 4), (0, 2, 1), (3, 16, 3)])
def test_workers_share_the_cores_unless_told_otherwise(threads: int, n_cores: int, each: int) -> None:
    own = settings_of_each(GatewaySettings.of({**GIVEN, "threads": threads}), port=9001, n_cores=n_cores)
    assert (own.threads, own.port, own.workers, own.ready_file) == (each, 9001, 1, None)
    assert own.policy_options == GIVEN["policy_options"]
