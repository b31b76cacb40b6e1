"""What every model repository shares: tensors on the wire, the model that is put there, a folder written whole or not at all.

A repository is read by a server that knows nothing of the guard, so whoever reaches that server gets the victim's own answers.
It is meant to stand behind a gateway, where nobody else can reach it. Scores leave such a server only with `expose_scores=True`,
for a gateway that reads them there; otherwise the graph has lost them, and no setting of the server brings them back.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import NamedTuple

import onnx

from exporters.graph import graph_bytes
from exporters.rewrite import prune
from guard.bundle import Bundle, Manifest
from guard.errors import ExportError

PROBABILITIES, SCORES = "probabilities", "scores"
WARNING = (
    "No guard stands in this server: whoever reaches it gets the model's own answers. "
    "Open its ports to the gateway alone, and to nobody else."
)


class Tensor(NamedTuple):
    """One float32 tensor; `dims` are a row's, without the batch."""

    name: str
    dims: tuple[int, ...]


def input_tensor(manifest: Manifest) -> Tensor:
    """Return the model's one input."""
    return Tensor(manifest.input.name, manifest.input.shape)


def output_tensors(manifest: Manifest, *, expose_scores: bool) -> tuple[Tensor, ...]:
    """Return the outputs that the server may give: the probabilities, and the scores only if asked for."""
    probabilities = Tensor(PROBABILITIES, (len(manifest.labels),))
    return (probabilities, Tensor(SCORES, (len(manifest.detectors),))) if expose_scores else (probabilities,)


def served_model(bundle: Bundle, *, expose_scores: bool) -> bytes:
    """Return the fused graph, or without its scores and heads. ExportError if the graph has not the outputs of a bundle."""
    model = onnx.load_model_from_string(bundle.model)
    names = [output.name for output in model.graph.output]
    if missing := {PROBABILITIES, SCORES} - set(names):
        raise ExportError(f"the bundle's model has no output {sorted(missing)}, only {names}; make it with `knockguard protect`")
    if expose_scores:
        return bundle.model
    kept = [output for output in model.graph.output if output.name == PROBABILITIES]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    prune(model.graph)
    return graph_bytes(model)


def write_folder(folder: Path, files: Mapping[str, bytes], *, marker: str, force: bool) -> None:
    """Write a whole folder or nothing; ExportError if it exists and `force` was not given.

    `files` maps relative paths to contents; `marker` is the one by which a server knows such a folder. With `force` only a folder
    that holds a marker is replaced: a slip of the hand must not delete somebody's images.
    """
    if folder.exists():
        if not force:
            raise ExportError(f"{folder} exists; give another folder, or force to replace the model there")
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).is_file()):
            raise ExportError(f"{folder} exists and holds no {marker}, so it is no such model and is not replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # The marker last: a server that polls its repository does not take a half-written folder for a model.
        for name in sorted(files, key=lambda name: name == marker):
            path = fresh / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        fresh.chmod(0o755)
        if folder.exists():
            old = Path(mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            folder.rename(old / "model")
            fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            fresh.rename(folder)
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(fresh, ignore_errors=True)
        raise
