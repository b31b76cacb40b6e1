"""Settings: safe by default, and each mistake named."""

from pathlib import Path

import pytest

from grpc_api.listening import is_loopback
from grpc_api.settings import GatewaySettings
from guard.errors import ConfigError


def test_defaults_are_reached_from_this_machine_alone_and_bounded() -> None:
    settings = GatewaySettings.of({"bundles": [Path("bundle")]})
    assert is_loopback(settings.host)
    assert is_loopback(settings.metrics_host)
    assert settings.policy is None
    assert settings.limits.max_request_rows <= settings.limits.max_queue_rows


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prot": 1}, "prot: there is no such key; did you mean 'port'"),
        ({"port": 70_000}, "port: .*65535.*70000"),
        ({"provider": "gpu"}, "provider: .*'auto', 'cuda' or 'cpu'"),
        ({"limits": {"max_queue_rows": 10}}, "max_request_rows 256 is over max_queue_rows 10"),
    ],
)
def test_mistake_is_named(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        GatewaySettings.of({"bundles": [Path("bundle")], **given})


HOSTS = {"127.0.0.1": True, "::1": True, "localhost": True, "0.0.0.0": False, "gateway.example": False}


@pytest.mark.parametrize(("host", "is_one"), HOSTS.items())
def test_loopback_is_told_from_the_rest(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
