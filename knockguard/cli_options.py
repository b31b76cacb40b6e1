"""Options that several commands share, each with one wording."""

from pathlib import Path
from typing import Annotated

import typer

from knockguard.places import writable_folder

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of a table.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]
Victims = Annotated[
    Path | None,
    typer.Option(
        callback=writable_folder, help="Folder of trained victims, where experiments share them; inside --out by default."
    ),
]
