"""The words of `knockguard export`."""

from pathlib import Path
from typing import Annotated

import typer

from knockguard.cli_options import Force, Json
from knockguard.places import writable_folder as _folder


def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    server: Annotated[str, typer.Option("--for", help="Whose repository: triton, mlserver or kserve.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=_folder, help="The repository; the model becomes a folder of its name in it.")
    ] = Path("models"),
    expose_scores: Annotated[
        bool,
        typer.Option("--expose-scores", help="Let the server give the scores too, to a gateway that reads and strips them."),
    ] = False,
    guarded: Annotated[
        bool, typer.Option("--guarded", help="Put the guard into MLServer's own model class; it needs no gateway then.")
    ] = False,
    max_batch_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows that Triton takes in one request, at most; 256 by default, as the gateway.")
    ] = None,
    storage_uri: Annotated[
        str | None, typer.Option(help="Where KServe will fetch the repository: pvc://VOLUME/PATH, s3://..., gs://...")
    ] = None,
    unguarded: Annotated[
        bool, typer.Option("--unguarded", help="Write bundles whose threshold is of too few images as well.", show_default=False)
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a bundle as a model of Triton's, MLServer's or KServe's repository."""
    from knockguard.exporting import ExportOptions, export_bundle

    options = ExportOptions(bundle, server, out, expose_scores, guarded, max_batch_rows, storage_uri, force, unguarded)
    export_bundle(options, as_json=json)
