"""`knockguard serve`: from the command line's words to a gateway's settings."""

import sys
from collections.abc import Mapping, Sequence

from grpc_api.server import run_gateway
from grpc_api.settings import GatewaySettings
from guard.errors import ConfigError


def serve_bundle(given: Mapping[str, object], *, options: Sequence[str]) -> None:
    """Run a gateway until it is told to stop; exits with the gateway's own code."""
    settings = GatewaySettings.of({k: v for k, v in given.items() if v is not None} | {"policy_options": parse_options(options)})
    sys.exit(run_gateway(settings))


def parse_options(words: Sequence[str]) -> dict[str, float | int | str | bool]:
    """Return KEY=VALUE words as a mapping, numbers as numbers; ConfigError for a word of another form."""
    options: dict[str, float | int | str | bool] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise ConfigError(f"--option {word!r} is not of the form KEY=VALUE, such as k=3")
        options[key] = _number(value)
    return options


def _number(text: str) -> float | int | str | bool:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
