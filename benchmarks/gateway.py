"""The gateway against bare ONNX Runtime in process, with the same bundle, in one run.

    python benchmarks/gateway.py [BUNDLE] [--rows 1 32] [--concurrency 1 16]

Without a bundle it makes up two victims, which needs the `protect` extra: one that computes next to nothing, where the ratio is
the price of the wire, and a convolutional one of 128 pixels, where the model's own time counts.
The gateway is a process of its own; the client is our own, over gRPC on loopback, with uint8 pixels. Bare ONNX Runtime runs the
same batches of float32 in this process. Both share the machine's cores with the client.
"""

import argparse
import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ratios import compare

from grpc_api.client import GuardClient
from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Provenance, load_bundle, write_bundle
from guard.calibration import Threshold
from guard.preprocess import image_size, to_inputs
from guard.quiet_runtime import ort
from knockguard.gateway_process import gateway

SECONDS = 1.0
N_CLASSES = 10


def main() -> None:
    """Print one row a case: requests a second of both, and gateway / bare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, nargs="?", help="a bundle's folder; two made-up victims without it")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    if given.bundle is not None:
        measure(given.bundle, given)
        return
    for size, widths in ((32, (8,)), (128, (64, 128, 256))):
        print(f"made-up victim, {size} pixels, channels {widths}")
        with TemporaryDirectory() as folder:
            measure(made_up(Path(folder) / "bundle", size, widths), given)


def measure(folder: Path, given: argparse.Namespace) -> None:
    """Serve one bundle and print its rows of the table."""
    bundle = load_bundle(folder)
    spec, name = bundle.manifest.input, bundle.manifest.name
    options = ort.SessionOptions()
    options.log_severity_level = 3
    bare = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    print(f"{'rows':>5}{'concurrency':>13}{'gateway, req/s':>16}{'bare, req/s':>14}  gateway / bare")
    with TemporaryDirectory() as logs, gateway(folder, log=Path(logs) / "log") as running:
        for rows in given.rows:
            pixels = np.random.default_rng(0).integers(0, 256, (rows, *image_size(spec), 3), dtype=np.uint8)
            inputs = to_inputs(pixels, spec)
            for concurrency in given.concurrency:
                n = max(concurrency, int(SECONDS * 2000 / (1 + rows / 8)))

                def served(n: int = n, pixels: np.ndarray = pixels, window: int = concurrency) -> int:
                    return asyncio.run(ask(running.address, name, spec.name, pixels, n, window))

                def direct(n: int = n, inputs: np.ndarray = inputs) -> int:
                    for _ in range(n):
                        bare.run(["probabilities"], {spec.name: inputs})
                    return n

                ratio = compare(served, direct, repetitions=given.repetitions)
                print(f"{rows:>5}{concurrency:>13}{ratio.rate:>16.0f}{ratio.peer:>14.0f}  {ratio}", flush=True)


async def ask(address: str, model: str, input_name: str, pixels: np.ndarray, n: int, window: int) -> int:  # noqa: PLR0913, PLR0917
    """Send the same request n times, `window` at once; return n."""
    async with GuardClient(address) as client:
        return sum([1 async for _ in client.ask(model, input_name, (pixels for _ in range(n)), window=window)])


def made_up(folder: Path, size: int, widths: Sequence[int]) -> Path:
    """Write a bundle of a small convolutional network with weights of a fixed seed, and return its folder."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    node, info = helper.make_node, helper.make_tensor_value_info
    nodes, constants, tensor, channels = [], [], "image", 3
    for i, width in enumerate(widths):
        weight = rng.standard_normal((width, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
        constants.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(node("Conv", [tensor, f"w{i}"], [f"c{i}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(node("Relu", [f"c{i}"], [f"r{i}"]))
        tensor, channels = f"r{i}", width
    for head, n in (("classify", N_CLASSES), ("detect", 1)):
        constants.append(numpy_helper.from_array(rng.standard_normal((channels, n), np.float32), head))
    nodes += [node("GlobalAveragePool", [tensor], ["pooled"]), node("Flatten", ["pooled"], ["features"])]
    nodes += [node("MatMul", ["features", "classify"], ["logits"]), node("Softmax", ["logits"], ["probabilities"], axis=1)]
    nodes += [node("MatMul", ["features", "detect"], ["scores"])]
    inputs = [info("image", TensorProto.FLOAT, ["n", 3, size, size])]
    outputs = [info(output, TensorProto.FLOAT, ["n", n]) for output, n in (("probabilities", N_CLASSES), ("scores", 1))]
    graph = helper.make_graph(nodes, "victim", inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    threshold = Threshold(value=0.0, target_fpr=0.05, confidence=0.99, n=500, expected_fpr=0.03)
    manifest = Manifest(
        format_version=1,
        name="victim",
        version="1",
        model="model.onnx",
        sha256=sha256(model).hexdigest(),
        input=InputSpec(name="image", shape=(3, size, size), layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=tuple(f"class-{i}" for i in range(N_CLASSES)),
        detectors=(DetectorSpec(name="linear", threshold=threshold, quantiles=QUANTILES),),
        detector="linear",
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )
    write_bundle(folder, manifest=manifest, model=model)
    return folder


if __name__ == "__main__":
    main()
