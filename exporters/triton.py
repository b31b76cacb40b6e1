"""A bundle as a model of NVIDIA Triton's repository: `config.pbtxt` and a version's folder.

Source: the model configuration of Triton Inference Server, message `inference.ModelConfig`, in protobuf's text format.
"""

import json
from pathlib import Path

from exporters.repository import WARNING, Tensor, input_tensor, output_tensors, served_model, write_model
from guard.bundle import Bundle, Manifest

CONFIG = "config.pbtxt"
MODEL = "model.onnx"
MAX_BATCH_ROWS = 256  # of one request: as many as a gateway lets in, since Triton refuses what is larger


def write_triton(
    repository: Path, bundle: Bundle, *, expose_scores: bool = False, max_batch_rows: int = MAX_BATCH_ROWS, force: bool = False
) -> Path:
    """Write `<repository>/<name>/` whole or not at all, and return it; ExportError if it exists and `force` was not given.

    Only the probabilities are declared, and the graph has no other output, unless `expose_scores`: then a gateway in front reads
    the scores there and strips them, and must be the only one that reaches the server.
    """
    manifest = bundle.manifest
    folder = repository / manifest.name
    files = {
        CONFIG: triton_config(manifest, expose_scores=expose_scores, max_batch_rows=max_batch_rows).encode(),
        f"{manifest.version}/{MODEL}": served_model(bundle, expose_scores=expose_scores),
    }
    write_model(folder, files, marker=CONFIG, force=force)
    return folder


def triton_config(manifest: Manifest, *, expose_scores: bool = False, max_batch_rows: int = MAX_BATCH_ROWS) -> str:
    """Return the text of config.pbtxt."""
    outputs = output_tensors(manifest, expose_scores=expose_scores)
    return (
        f"# {WARNING}\n"
        + ("# It gives the detectors' scores as well: a thief who reads them knows what is flagged.\n" if expose_scores else "")
        + f"name: {_text(manifest.name)}\n"
        + 'backend: "onnxruntime"\n'
        + f"default_model_filename: {_text(MODEL)}\n"
        + f"max_batch_size: {max_batch_rows}\n"
        + _tensors("input", (input_tensor(manifest),))
        + _tensors("output", outputs)
        + "dynamic_batching { }\n"
    )


def _tensors(field: str, tensors: tuple[Tensor, ...]) -> str:
    return "".join(
        f"{field} {{\n"
        f"  name: {_text(tensor.name)}\n"
        "  data_type: TYPE_FP32\n"
        f"  dims: [ {', '.join(str(d) for d in tensor.dims)} ]\n"
        "}\n"
        for tensor in tensors
    )


def _text(value: str) -> str:
    """Return a string of protobuf's text format; its escapes for quotes, backslashes and control characters are JSON's."""
    return json.dumps(value, ensure_ascii=False)
