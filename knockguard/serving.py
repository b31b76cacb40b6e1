"""`knockguard serve`: from the command line's words to a gateway's settings."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from grpc_api.server import run_gateway
from grpc_api.settings import GatewaySettings
from grpc_api.workers.supervisor import run_workers
from guard.errors import ConfigError

# A flag's name where it is not the setting's own.
_SETTINGS = {
    "api_keys": "clients.api_keys_file",
    "anonymous": "clients.anonymous",
    "rules": "rules_file",
    "tenant_limits": "tenant_limits.file",
    "log_format": "telemetry.log_format",
    "traces": "telemetry.traces",
    "audit_log": "audit.folder",
    "admin_port": "admin.port",
    "admin_keys": "admin.keys_file",
    "admin_socket": "admin.socket",
    "upstream": "upstream.address",
    "upstream_model": "upstream.model",
    "upstream_output": "upstream.output",
    "upstream_logits": "upstream.logits",
    "upstream_ca": "upstream.ca_file",
    "scores_from": "upstream.scores",
}


def serve_bundle(given: Mapping[str, object], *, options: Sequence[str], config: Path | None) -> None:
    """Run a gateway until it is told to stop, by a TOML file and the flags over it; exits with the gateway's own code."""
    flags = {_SETTINGS.get(name, name): value for name, value in given.items() if value is not None}
    if options:
        flags["policy_options"] = parse_options(options)
    settings = GatewaySettings.of(flags, file=config)
    sys.exit(run_workers(settings) if settings.workers > 1 else run_gateway(settings))


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
