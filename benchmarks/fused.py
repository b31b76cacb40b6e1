"""What the heads cost: the fused graph, and a network of the detector's own, against the victim alone, in one run.

    python benchmarks/fused.py [--bundle FOLDER] [--out TABLE.md]

Victims have random weights, which cost what trained ones do. With --bundle, the graph that this bundle serves is timed.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from ratios import Table, arguments, compare, here
from victims import export, plain_and_fused, without_heads

from guard.bundle import load_bundle
from guard.quiet_runtime import ort

SEPARATE = "resnet34"  # the paper's RN34 from scratch; its RN101*LR costs twice as much
CASES = (
    ("resnet34", 224, (1, 8)),
    ("efficientnet-lite0", 224, (1, 8)),
    ("mobilenet-v3-large", 224, (1, 8)),
    ("gtsrb-5l", 32, (1, 32)),
    ("cnn-wide", 32, (1, 32)),
)


def session(model: bytes) -> ort.InferenceSession:
    """Return a session with ONNX Runtime's own defaults."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Print one row a case: images a second of both, time ratios by the clock and by CPU, and how much the file grows."""
    parser = arguments(__doc__)
    parser.add_argument("--bundle", type=Path, help="time this bundle's graph in place of our own victims")
    parser.set_defaults(repetitions=9, seconds=0.4)
    given = parser.parse_args()
    columns = ("victim", "batch", "alone, img/s", "fused, img/s", "time fused / alone", "by CPU")
    columns += (f"time with {SEPARATE} beside / alone", "file grows")
    table = Table("The fused graph against the victim alone", columns, given.out)
    with TemporaryDirectory() as folder:
        for name, side, batches, models in _cases(given.bundle, Path(folder)):
            plain, fused = map(session, models)
            beside = session(export(SEPARATE, side, Path(folder)).read_bytes())
            growth = f"{len(models[1]) / len(models[0]) - 1:.2%}"
            for batch in batches:
                images = np.random.default_rng(1).random((batch, 3, side, side), np.float32)
                ways = [here(_repeat(s, images), seconds=given.seconds) for s in ((plain,), (fused,), (plain, beside))]
                ratio, cpu = compare(ways[0], ways[1], repetitions=given.repetitions)
                separate, _ = compare(ways[0], ways[2], repetitions=given.repetitions)
                table.row(f"{name}, {side} px", batch, ratio.rate, ratio.peer, ratio, cpu, separate, growth)
    table.write()


def _cases(bundle: Path | None, folder: Path) -> Iterator[tuple[str, int, tuple[int, ...], tuple[bytes, bytes]]]:
    """Name, side in pixels, batches, and the graphs without heads and with them."""
    if bundle is None:
        for name, side, batches in CASES:
            yield name, side, batches, plain_and_fused(export(name, side, folder))
    else:
        served = load_bundle(bundle)
        models = without_heads(onnx.load_model_from_string(served.model)), served.model
        yield served.manifest.name, served.manifest.input.shape[1], (1, 32), models


def _repeat(sessions: tuple[ort.InferenceSession, ...], images: np.ndarray):  # noqa: ANN202  # a closure for lasting
    def run(n: int) -> int:
        for _ in range(n):
            for one in sessions:
                one.run(None, {"image": images})
        return n * len(images)

    return run


if __name__ == "__main__":
    main()
