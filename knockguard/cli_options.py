"""Options that several commands share, each with one wording."""

from enum import StrEnum
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


class Executor(StrEnum):
    """Where the victims of an experiment are worked on: here, one after the other, or on the machines of a Ray cluster."""

    HERE = "here"
    RAY = "ray"


Where = Annotated[Executor, typer.Option("--executor", help="Victims one after the other here, or side by side on Ray.")]
