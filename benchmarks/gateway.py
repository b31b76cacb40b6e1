"""What serving costs: the gateway against bare ONNX Runtime in process, with the same bundle, in one run.

    python benchmarks/gateway.py [BUNDLE] [--out TABLE.md]

Without a bundle, three victims: one that computes next to nothing, where the ratio is the price of the wire; a convolutional
one of 128 pixels; and a ResNet-34 of 224 pixels with the demo's heads, where the model's time counts. The gateway is a
process of its own and is sent uint8 pixels over loopback. Bare ONNX Runtime runs float32 in this process, with its own
defaults: batches of the request's rows against one request at a time, and against many requests at a time whichever batch is
fastest. Both share the machine's cores with the client.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from ratios import Table, arguments, compare, here
from victims import bundles, made_up

from guard.bundle import load_bundle
from guard.preprocess import image_size, to_inputs
from guard.quiet_runtime import ort
from knockguard.gateway_process import gateway

BATCHES = (1, 4, 8, 16, 32)  # the gateway's own largest is 32


def main() -> None:
    """Print one row a case: rows a second of both, and gateway / bare."""
    parser = arguments(__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="a bundle's folder; three victims of our own without it")
    given = parser.parse_args()
    columns = ("model", "rows", "at once", "gateway, rows/s", "bare, rows/s", "bare batch", "gateway / bare", "by CPU")
    table = Table("The gateway against bare ONNX Runtime", columns, given.out)
    with TemporaryDirectory() as folder:
        if given.bundle is not None:
            cases = {given.bundle.name: (given.bundle, ((1, 1), (1, 16), (32, 1), (32, 16)))}
        else:
            cases = {
                "next to nothing, 32 px": (made_up(Path(folder), 32), ((1, 1), (1, 16), (32, 1), (32, 16))),
                "CNN, 128 px": (made_up(Path(folder), 128, (32, 64, 128)), ((1, 1), (1, 16), (32, 1), (32, 16))),
                "ResNet-34, 224 px": (bundles("resnet34", 224, Path(folder))[1], ((1, 1), (1, 16))),
            }
        for name, (bundle, shapes) in cases.items():
            with gateway(bundle, log=Path(folder) / "log") as running:
                for rows, window in shapes:
                    measure(table, name, bundle, (running.address, running.process.pid), rows=rows, window=window, given=given)
    table.write()


def measure(table: Table, name: str, folder: Path, server: tuple[str, int], *, rows: int, window: int, given) -> None:  # noqa: ANN001, PLR0913
    """Measure one case and print its row."""
    bundle = load_bundle(folder)
    spec = bundle.manifest.input
    pixels = np.random.default_rng(0).integers(0, 256, (max(rows, *BATCHES), *image_size(spec), 3), dtype=np.uint8)
    inputs = to_inputs(pixels, spec)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])

    def bare(batch: int) -> Callable[[int], int]:
        def run(n: int) -> int:
            for _ in range(n):
                session.run(["probabilities"], {spec.name: inputs[:batch]})
            return n * batch

        return run

    batch = rows if window == 1 else max(BATCHES, key=lambda b: here(bare(b), seconds=given.seconds / 5).measure()[0])
    load = Load.of(server, pixels[:rows], model=bundle.manifest.name, name=spec.name)
    ways = load.way(given.seconds, window=window), here(bare(batch), seconds=given.seconds)
    ratio, cpu = compare(*ways, repetitions=given.repetitions)
    table.row(name, rows, window, ratio.rate, ratio.peer, batch, ratio, cpu)


if __name__ == "__main__":
    main()
