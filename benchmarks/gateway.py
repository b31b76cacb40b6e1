"""The gateway against bare ONNX Runtime in process, with the same bundle, in one run.

    python benchmarks/gateway.py BUNDLE [--rows 1 32] [--concurrency 1 16]

The gateway is a process of its own; the client is our own, over gRPC on loopback, with uint8 pixels. Bare ONNX Runtime runs the
same batches of float32 in this process. Both share the machine's cores with the client.
"""

import argparse
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from ratios import compare

from grpc_api.client import GuardClient
from guard.bundle import load_bundle
from guard.preprocess import image_size, to_inputs
from knockguard.gateway_process import gateway

SECONDS = 1.0


def main() -> None:
    """Print one row a case: requests a second of both, and gateway / bare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    bundle = load_bundle(given.bundle)
    spec, name = bundle.manifest.input, bundle.manifest.name
    options = ort.SessionOptions()
    options.log_severity_level = 3
    bare = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    print(f"{'rows':>5}{'concurrency':>13}{'gateway, req/s':>16}{'bare, req/s':>14}  gateway / bare")
    with TemporaryDirectory() as folder, gateway(given.bundle, log=Path(folder) / "log") as running:
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


if __name__ == "__main__":
    main()
