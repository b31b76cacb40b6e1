"""`knockguard protect`: its options."""

from pathlib import Path
from typing import Annotated

import typer

from knockguard.cli_options import Force, Json, Seed
from knockguard.places import writable_folder as _folder


def protect(
    model: Annotated[Path, typer.Argument(help="The trained model, an .onnx file.")],
    inside: Annotated[Path, typer.Option("--in", help="The victim's own kind of images: a folder or a .parquet file.")],
    out_pool: Annotated[
        Path, typer.Option("--out-pool", help="Public images of other kinds: a folder or a .parquet file; or the word synthetic.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", callback=_folder, help="The bundle's folder.")] = Path("bundle"),
    detector: Annotated[str, typer.Option(help="The detector that decides; the others are fused beside it.")] = "linear-late",
    target_fpr: Annotated[float, typer.Option(help="Share of benign images that may be flagged, at most.")] = 0.05,
    name: Annotated[str | None, typer.Option(help="The model's name on the wire; the file's name by default.")] = None,
    version: Annotated[str, typer.Option(help="The model's version on the wire, a number.")] = "1",
    labels: Annotated[Path | None, typer.Option(help="A text file with one class name a line.")] = None,
    class_map: Annotated[
        Path | None,
        typer.Option(help="CSV `class,public`: what the in images' classes are called in public sets, empty for nothing."),
    ] = None,
    wordnet: Annotated[
        Path | None,
        typer.Option(help="WordNet's folder, such as /usr/share/wordnet: classes are public too by what their names mean."),
    ] = None,
    wordnet_kinds: Annotated[
        bool, typer.Option("--wordnet-kinds", help="With --wordnet, a class whose kinds are public is public too: dog by beagle.")
    ] = False,
    scale: Annotated[
        str, typer.Option(help="What the graph makes of a grey level: 'unit' (0..1), 'raw' (0..255) or 'imagenet'.")
    ] = "unit",
    input_shape: Annotated[
        str | None, typer.Option(help="For a model of flattened images: their shape, 32,32,3 or 3,32,32, as they were flattened.")
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Tap a stage by tensor name, NAME=TENSOR; replaces those found.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="An option of a detector, DETECTOR.OPTION=VALUE: linear-late.strength=0.01.")
    ] = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="A threshold of each class that the model ranks first, each held to the target.")
    ] = False,
    forget_images: Annotated[
        bool,
        typer.Option(
            "--forget-images", help="Keep no hash of what made the bundle; an audit cannot leave those images out then."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=200, help="The most images read from each source.")] = 10_000,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Put a detector into a trained model and calibrate it: a bundle that `serve` takes."""
    from knockguard.protect_files import ProtectOptions, protect_files

    options = ProtectOptions(
        model,
        inside,
        out_pool,
        out,
        detector,
        target_fpr,
        name or model.stem,
        version,
        labels,
        class_map,
        wordnet,
        wordnet_kinds,
        scale,
        input_shape,
        tuple(stage or ()),
        tuple(setting or ()),
        per_class,
        forget_images,
        limit,
        seed,
        force,
    )
    protect_files(options, as_json=json)
