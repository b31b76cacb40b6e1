"""The words of `knockguard serve`: each is a setting, and comes before the same setting of `--config`."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from knockguard.places import writable_file as _file


def serve(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="BUNDLE...", help="Folders of bundles, as `knockguard protect` writes them.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings; flags come before it. See the settings' page for all of them.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default, 0.0.0.0 for all.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="gRPC port; 8001 by default, 0 takes a free one.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Prometheus port; 8002 by default.")] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(help="Address of the Prometheus port; 127.0.0.1 by default. Whoever reads it learns what is flagged."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="What a flagged query is answered; the bundle's policy by default.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the policy, KEY=VALUE.")] = None,
    apply_to: Annotated[str | None, typer.Option(help="Who gets the policy's answer: flagged, all or nobody.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="A TOML file that chooses the policy by flag, tenant and model, in place of --policy.")
    ] = None,
    secret_file: Annotated[Path | None, typer.Option(help="The guard's secret, as `knockguard secret` writes it.")] = None,
    api_keys: Annotated[Path | None, typer.Option(help="Who may ask: lines of tenant:sha256-of-key.")] = None,
    anonymous: Annotated[
        bool | None, typer.Option("--anonymous", help="Anybody who reaches the port may ask.", show_default=False)
    ] = None,
    tenant_limits: Annotated[
        Path | None, typer.Option(help="A TOML file of what each tenant may ask for: rows a second, rows a day.")
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A V2 server (Triton, KServe, MLServer) that computes the model instead."),
    ] = None,
    upstream_model: Annotated[str | None, typer.Option(help="The model's name there; the bundle's by default.")] = None,
    upstream_output: Annotated[str | None, typer.Option(help="Its output with the answer; the bundle's by default.")] = None,
    upstream_logits: Annotated[
        bool | None, typer.Option("--upstream-logits", help="That output is logits.", show_default=False)
    ] = None,
    upstream_ca: Annotated[Path | None, typer.Option(help="Certificates to know it by; without them, in the clear.")] = None,
    scores_from: Annotated[
        str | None,
        typer.Option(help="'upstream', where the fused model is, or 'bundle': computed here, beside a plain model there."),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="auto, cuda or cpu; cuda refuses to start without it.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="Threads of one inference; one a core by default.")] = None,
    unguarded: Annotated[
        bool | None,
        typer.Option("--unguarded", help="Serve bundles whose threshold is of too few images as well.", show_default=False),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes that share the port; 1 by default.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json, one event a line, or text for people.")] = None,
    traces: Annotated[
        bool | None, typer.Option("--traces", help="Send OpenTelemetry spans; needs the extra otel.", show_default=False)
    ] = None,
    audit_log: Annotated[Path | None, typer.Option(help="A folder; every decision becomes a line of JSON there.")] = None,
    admin_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the admin service, on loopback.")] = None,
    admin_keys: Annotated[Path | None, typer.Option(help="Who may use the admin port: lines of name:sha256-of-key.")] = None,
    admin_socket: Annotated[Path | None, typer.Option(help="Socket of the admin service, for its owner alone.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option(callback=_file, help="Write the ports there once queries are answered.")
    ] = None,
) -> None:
    """Serve bundles over gRPC (Open Inference Protocol), with Prometheus metrics."""
    from knockguard.serving import serve_bundle

    # It asks for a reload, for which there is nothing to read yet; by default it would end a gateway that is starting.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    given = {
        "bundles": bundles or None, "host": host, "port": port, "metrics_host": metrics_host, "metrics_port": metrics_port,
        "policy": policy, "apply_to": apply_to, "rules": rules, "secret_file": secret_file, "api_keys": api_keys,
        "anonymous": anonymous, "tenant_limits": tenant_limits,
        "provider": provider, "threads": threads, "unguarded": unguarded, "workers": workers, "ready_file": ready_file,
        "upstream": upstream, "upstream_model": upstream_model, "upstream_output": upstream_output,
        "upstream_logits": upstream_logits, "upstream_ca": upstream_ca, "scores_from": scores_from,
        "log_format": log_format, "traces": traces,
        "audit_log": audit_log, "admin_port": admin_port, "admin_keys": admin_keys, "admin_socket": admin_socket,
    }  # fmt: skip
    serve_bundle(given, options=option or [], config=config)
