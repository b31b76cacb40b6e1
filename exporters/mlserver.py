"""A bundle as a model of Seldon's MLServer: `model-settings.json`, the graph, and the runtime that computes it.

MLServer brings no runtime for ONNX, so ours lies beside the model: it imports MLServer, ONNX Runtime and nothing of this project.
Guarded, the model is the whole bundle, and its runtime is this project's, which is installed beside MLServer then.
"""

import json
from pathlib import Path

from exporters.repository import WARNING, Tensor, input_tensor, output_tensors, served_model, write_model
from guard.bundle import MANIFEST, Bundle, Manifest

SETTINGS = "model-settings.json"
MODEL = "model.onnx"
RUNTIME = Path(__file__).with_name("mlserver_runtime.py")
GUARDED_RUNTIME = "grpc_api.inside.mlserver_runtime.GuardedRuntime"
_BUNDLE = "bundle"
_GUARDED = (
    "The guard stands in this model's runtime, on gRPC and REST alike. Keep the metrics' port and the folder itself to yourself: "
    "who reads the bundle has the model."
)
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


def write_guarded_mlserver(repository: Path, bundle: Bundle, *, force: bool = False) -> Path:
    """Write `<repository>/<name>/` whole or not at all, as `write_mlserver`, with the guard inside: its policy is the bundle's.

    `parameters.extra` of its settings may say otherwise: see `grpc_api.inside.mlserver_runtime.RuntimeSettings`.
    """
    manifest = bundle.manifest
    folder = repository / manifest.name
    files = {
        SETTINGS: mlserver_settings(manifest, implementation=GUARDED_RUNTIME, uri=f"./{_BUNDLE}").encode(),
        f"{_BUNDLE}/{MANIFEST}": (manifest.model_dump_json(indent=2) + "\n").encode(),
        f"{_BUNDLE}/{manifest.model}": bundle.model,
        "README.md": f"# {manifest.name}\n\n{_GUARDED}\n{_ALL_INTERFACES}\n".encode(),
    }
    write_model(folder, files, marker=SETTINGS, force=force)
    return folder


def mlserver_settings(
    manifest: Manifest,
    *,
    expose_scores: bool = False,
    implementation: str = f"{RUNTIME.stem}.OnnxRuntime",
    uri: str = f"./{MODEL}",
) -> str:
    """Return the text of model-settings.json.

    Adaptive batching stays off: in MLServer one bad request fails its whole batch, and the gateway batches already.
    """
    settings = {
        "name": manifest.name,
        "implementation": implementation,
        "platform": "onnxruntime_onnx",
        "versions": [manifest.version],
        "inputs": [_metadata(input_tensor(manifest))],
        "outputs": [_metadata(tensor) for tensor in output_tensors(manifest, expose_scores=expose_scores)],
        "parameters": {"uri": uri, "version": manifest.version},
    }
    return json.dumps(settings, indent=2) + "\n"


def _metadata(tensor: Tensor) -> dict[str, object]:
    return {"name": tensor.name, "datatype": "FP32", "shape": [-1, *tensor.dims]}
