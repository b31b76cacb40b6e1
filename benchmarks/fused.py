"""What the heads cost: the fused graph against the victim alone, in ONNX Runtime, in one run.

    python benchmarks/fused.py [--victim FOLDER] [--out TABLE.md]

Victims have random weights, which cost what trained ones do. With --victim, the demo's folder, the demo's own is timed.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ratios import Table, arguments, compare, here
from victims import export, plain_and_fused

from guard.quiet_runtime import ort

CASES = (("cnn-wide", 32, (1, 32)), ("resnet18", 224, (1, 8)), ("resnet34", 224, (1, 8)))


def session(model: bytes) -> ort.InferenceSession:
    """Return a session with ONNX Runtime's own defaults."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Print one row a case: images a second of both, and the time ratio fused / alone."""
    parser = arguments(__doc__)
    parser.add_argument("--victim", type=Path, help="a folder that `knockguard demo` wrote")
    parser.set_defaults(repetitions=9, seconds=0.4)
    given = parser.parse_args()
    columns = ("victim", "batch", "alone, img/s", "fused, img/s", "time fused / alone", "by CPU")
    table = Table("The fused graph against the victim alone", columns, given.out)
    with TemporaryDirectory() as folder:
        for name, side, batches in CASES if given.victim is None else (("the demo's", 32, (1, 32)),):
            path = export(name, side, Path(folder)) if given.victim is None else given.victim / "victim.onnx"
            plain, fused = map(session, plain_and_fused(path))
            for batch in batches:
                images = np.random.default_rng(1).random((batch, 3, side, side), np.float32)
                ways = [here(_repeat(one, images), seconds=given.seconds) for one in (plain, fused)]
                ratio, cpu = compare(*ways, repetitions=given.repetitions)
                table.row(f"{name}, {side} px", batch, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


def _repeat(session: ort.InferenceSession, images: np.ndarray):  # noqa: ANN202  # a closure for lasting
    def run(n: int) -> int:
        for _ in range(n):
            session.run(None, {"image": images})
        return n * len(images)

    return run


if __name__ == "__main__":
    main()
