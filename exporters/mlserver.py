"""A bundle as a model of Seldon's MLServer: `model-settings.json`, the graph, and the runtime that computes it.

MLServer brings no runtime for ONNX, so ours lies beside the model: it imports MLServer, ONNX Runtime and nothing of this project.
"""

import json
from pathlib import Path

from exporters.repository import WARNING, Tensor, input_tensor, output_tensors, served_model, write_model
from guard.bundle import Bundle, Manifest

SETTINGS = "model-settings.json"
MODEL = "model.onnx"
RUNTIME = Path(__file__).with_name("mlserver_runtime.py")
_ALL_INTERFACES = "MLServer listens on every interface unless its settings say otherwise."


def write_mlserver(repository: Path, bundle: Bundle, *, expose_scores: bool = False, force: bool = False) -> Path:
    """Write `<repository>/<name>/` whole or not at all, and return it; ExportError if it exists and `force` was not given.

    Only the probabilities are declared, and the graph has no other output, unless `expose_scores`: then a gateway in front reads
    the scores there and strips them, and must be the only one that reaches the server.
    """
    manifest = bundle.manifest
    folder = repository / manifest.name
    files = {
        SETTINGS: mlserver_settings(manifest, expose_scores=expose_scores).encode(),
        MODEL: served_model(bundle, expose_scores=expose_scores),
        RUNTIME.name: RUNTIME.read_bytes(),
        "README.md": f"# {manifest.name}\n\n{WARNING}\n{_ALL_INTERFACES}\n".encode(),
    }
    write_model(folder, files, marker=SETTINGS, force=force)
    return folder


def mlserver_settings(manifest: Manifest, *, expose_scores: bool = False) -> str:
    """Return the text of model-settings.json.

    Adaptive batching stays off: in MLServer one bad request fails its whole batch, and the gateway batches already.
    """
    settings = {
        "name": manifest.name,
        "implementation": f"{RUNTIME.stem}.OnnxRuntime",
        "platform": "onnxruntime_onnx",
        "versions": [manifest.version],
        "inputs": [_metadata(input_tensor(manifest))],
        "outputs": [_metadata(tensor) for tensor in output_tensors(manifest, expose_scores=expose_scores)],
        "parameters": {"uri": f"./{MODEL}", "version": manifest.version},
    }
    return json.dumps(settings, indent=2) + "\n"


def _metadata(tensor: Tensor) -> dict[str, object]:
    return {"name": tensor.name, "datatype": "FP32", "shape": [-1, *tensor.dims]}
