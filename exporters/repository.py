"""What every model repository shares: tensors on the wire, the model that is put there, a folder written whole or not at all.

A repository is read by a server that knows nothing of the guard, so whoever reaches that server gets the victim's own answers.
It is meant to stand behind a gateway, where nobody else can reach it. Scores leave such a server only with `expose_scores=True`,
for a gateway that reads them there; otherwise the graph has lost them, and no setting of the server brings them back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import onnx

from exporters.graph import graph_bytes
from exporters.rewrite import prune
from guard.bundle import Bundle, Manifest
from guard.errors import ExportError
from guard.whole import occupied, write_folder

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


def write_model(folder: Path, files: Mapping[str, bytes], *, marker: str, force: bool) -> None:
    """Write a model's folder whole or not at all; ExportError as `guard.whole.occupied`.

    The marker, by which a server knows such a folder, comes last: one that polls its repository does not take half for a model.
    """
    if why := occupied(folder, what="model", marker=marker, force=force):
        raise ExportError(why)
    write_folder(folder, files, last=marker)
