"""`knockguard admin ...`: the commands of an operator. What they do is in `knockguard.administering`, imported when called."""

from pathlib import Path
from typing import Annotated

import typer

from knockguard.cli_options import Json

admin = typer.Typer(no_args_is_help=True, help="Ask a running gateway, and change it: status, policies, reloads, evidence.")

At = Annotated[
    str,
    typer.Option("--at", envvar="KNOCKGUARD_ADMIN", help="HOST:PORT of --admin-port, or unix:PATH of --admin-socket."),
]
KeyFile = Annotated[
    Path | None, typer.Option(envvar="KNOCKGUARD_ADMIN_KEY_FILE", help="A file that holds the admin key; a socket needs none.")
]
DEFAULT = "127.0.0.1:8003"


@admin.command()
def status(at: At = DEFAULT, key_file: KeyFile = None, json: Json = False) -> None:
    """Say how a gateway is, and what it has seen."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).status()


@admin.command()
def bundles(at: At = DEFAULT, key_file: KeyFile = None, json: Json = False) -> None:
    """List what is live: models, versions, thresholds, policies."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).bundles()


@admin.command()
def set_policy(
    model: Annotated[str, typer.Argument(help="The model's name on the wire.")],
    policy: Annotated[str, typer.Argument(help="A policy of `knockguard list`; observe alters nothing.")],
    option: Annotated[list[str] | None, typer.Option(help="An option of the policy, KEY=VALUE.")] = None,
    apply_to: Annotated[str, typer.Option(help="Who gets the policy's answer: flagged, all or nobody.")] = "flagged",
    at: At = DEFAULT,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Answer a model's queries otherwise, at once and until the gateway ends."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).set_policy(model, policy, options=option or [], apply_to=apply_to)


@admin.command()
def reload(
    model: Annotated[str, typer.Argument(help="The model's name; all models by default.")] = "",
    at: At = DEFAULT,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Read bundles again. New ones take over without a lost query; a bad one is rejected (exit code 5) and the old one stays."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).reload(model)


@admin.command()
def evidence(
    tenant: Annotated[str, typer.Argument(help="Whose; all tenants by default.")] = "",
    at: At = DEFAULT,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Show what is known of a tenant's queries: how many, how many flagged, where the recent scores lie. No images."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).evidence(tenant)


@admin.command()
def reset(
    tenant: Annotated[str, typer.Argument(help="Whose evidence is forgotten.")],
    at: At = DEFAULT,
    key_file: KeyFile = None,
) -> None:
    """Forget what is known of a tenant's queries, and begin anew."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=False).reset(tenant)


@admin.command()
def limits(
    tenant: Annotated[str, typer.Argument(help="Whose; all tenants by default.")] = "",
    at: At = DEFAULT,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Show what tenants may ask for, and what they have used of it."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=json).limits(tenant)


@admin.command()
def reset_limits(
    tenant: Annotated[str, typer.Argument(help="Who begins anew.")],
    at: At = DEFAULT,
    key_file: KeyFile = None,
) -> None:
    """Let a tenant begin anew, with a full bucket and an unused quota."""
    from knockguard.administering import Desk

    Desk(at, key_file, as_json=False).reset_limits(tenant)
