"""The words of `knockguard attack`."""

from pathlib import Path
from typing import Annotated

import typer

from knockguard.cli_options import Json, Seed
from knockguard.command_again import command_again
from knockguard.places import writable_folder as _folder

# What is to become of an earlier run makes no difference to this one, and where keys lie is nobody's business.
_INSTEAD = {"resume": None, "force": None, "json": None, "api_key_file": "KEYS"}


def attack(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="host:port of a gateway, or of any V2 server.")],
    pool: Annotated[Path, typer.Option(help="The adversary's images: a folder or a .parquet file.")],
    test: Annotated[Path, typer.Option(help="Labelled images of the victim's kind, to measure the copy on.")],
    model: Annotated[str, typer.Option(help="The model's name on the wire.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=_folder, help="Folder for the transfer set, the surrogate and the result.")
    ] = Path("attack"),
    name: Annotated[str, typer.Option("--attack", help="What is asked: see `knockguard list`.")] = "knockoff",
    attack_option: Annotated[list[str] | None, typer.Option(help="An option of the attack, KEY=VALUE.")] = None,
    adversary: Annotated[
        str | None,
        typer.Option(help="How it is asked, and what is done with the answers; by default as is customary."),
    ] = None,
    adversary_option: Annotated[list[str] | None, typer.Option(help="An option of the adversary, KEY=VALUE.")] = None,
    queries: Annotated[int, typer.Option(min=1, help="Query budget.")] = 4000,
    limit: Annotated[int, typer.Option(min=2, help="The most images read from each source.")] = 20_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the surrogate's training.")] = 10,
    architecture: Annotated[str, typer.Option(help="The surrogate's architecture.")] = "cnn-small",
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle behind the endpoint, where it is yours: measures its model without the guard.")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File that holds the adversary's API keys, one a line for each client it asks as.")
    ] = None,
    authorised: Annotated[
        str | None, typer.Option("--i-am-authorised-by", help="Who allowed this; needed for any address other than loopback.")
    ] = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's transfer set, and replace its results.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Ask anew, and replace what is there.")] = False,
    json: Json = False,
) -> None:
    """Carry out one extraction attack against a running gateway, and measure what the copy is worth."""
    from evaluation.attacks.registry import customary_adversary
    from knockguard.attacking import AttackOptions, attack_endpoint

    options = AttackOptions(
        command=command_again(context, _INSTEAD),
        address=address,
        pool=pool,
        test=test,
        model=model,
        out=out,
        attack=name,
        attack_options=tuple(attack_option or ()),
        adversary=adversary or customary_adversary(name),
        adversary_options=tuple(adversary_option or ()),
        queries=queries,
        limit=limit,
        epochs=epochs,
        architecture=architecture,
        bundle=bundle,
        api_key_file=api_key_file,
        authorised=authorised,
        seed=seed,
        resume=resume,
        force=force,
    )
    attack_endpoint(options, as_json=json)
