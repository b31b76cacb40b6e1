"""What the heads cost: the fused graph against the victim alone, in ONNX Runtime, in one run.

    python benchmarks/fused.py [--victim FOLDER]

Victims have random weights, which cost what trained ones do. With --victim, the demo's folder, the demo's own is timed.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from ratios import compare

from evaluation.models import architecture, build
from exporters.fuse import fuse
from exporters.graph import graph_bytes, load_graph
from exporters.rewrite import prune
from exporters.taps import find_taps
from exporters.torch_export import export_victim
from guard.detectors.base import FitData
from guard.detectors.energy import Energy
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.msp import Msp
from guard.quiet_runtime import ort

CASES = [
    ("cnn-wide", 32, 1),
    ("cnn-wide", 32, 32),
    ("resnet18", 224, 1),
    ("resnet18", 224, 8),
    ("resnet34", 224, 1),
    ("resnet34", 224, 8),
]


def linear_head(stages: dict[str, int]) -> Head:
    """A head of the linear detector's shape; its values do not matter to the clock."""
    g = HeadBuilder()
    x = g.concat([g.tap(name) for name in stages], axis=1)
    weights = np.random.default_rng(0).normal(size=(2 * sum(stages.values()), 1))
    return g.head(score=g.squeeze(g.add(g.matmul(x, weights), np.zeros(1)), axis=1))


def plain_and_fused(path: Path) -> tuple[bytes, bytes]:
    """Return the victim alone, answering probabilities, and with linear, energy and msp fused."""
    victim = load_graph(path)
    taps = find_taps(victim)
    nothing = FitData({}, np.zeros(0, np.int64), taps.n_classes, {})
    channels = {name: int(taps.shapes[tensor][1] or 0) for name, tensor in taps.stages.items()}
    heads = {"linear": linear_head(channels), "energy": Energy().fit(nothing), "msp": Msp().fit(nothing)}
    fused = fuse(victim, taps, heads)
    plain = onnx.ModelProto()
    plain.CopyFrom(fused)
    del plain.graph.output[1:]
    prune(plain.graph)  # ONNX Runtime would compute what nobody reads
    return graph_bytes(plain), graph_bytes(fused)


def session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Print one row a case: images a second of both, and the time ratio fused / alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--victim", type=Path, help="a folder that `knockguard demo` wrote")
    parser.add_argument("--repetitions", type=int, default=9)
    given = parser.parse_args()
    print(f"{'victim':<22}{'batch':>6}{'alone, img/s':>14}{'fused, img/s':>14}  time fused / alone")
    with TemporaryDirectory() as folder:
        cases = [(f"{name} {side} px", Path(folder) / f"{name}.onnx", side, batch) for name, side, batch in CASES]
        for name, path, side, _ in cases:
            if not path.exists():
                kind = name.split()[0]
                sample = np.random.default_rng(0).random((4, 3, side, side), np.float32)
                export_victim(build(kind, n_classes=10, seed=0), path, sample=sample, stages=architecture(kind).stages)
        if given.victim:
            cases = [("the demo's victim", given.victim / "victim.onnx", 32, batch) for batch in (1, 32)]
        for name, path, side, batch in cases:
            plain, fused = map(session, plain_and_fused(path))
            images = np.random.default_rng(1).random((batch, 3, side, side), np.float32)
            n = max(2, round(0.4 / _seconds(plain, images)))
            ratio = compare(_repeat(plain, images, n), _repeat(fused, images, n), repetitions=given.repetitions)
            print(f"{name:<22}{batch:>6}{ratio.rate:>14.0f}{ratio.peer:>14.0f}  {ratio}", flush=True)


def _repeat(session: ort.InferenceSession, images: np.ndarray, n: int):  # noqa: ANN202  # a closure for compare
    def run() -> int:
        for _ in range(n):
            session.run(None, {"image": images})
        return n * len(images)

    return run


def _seconds(session: ort.InferenceSession, images: np.ndarray) -> float:
    from time import perf_counter

    session.run(None, {"image": images})
    started = perf_counter()
    session.run(None, {"image": images})
    return perf_counter() - started


if __name__ == "__main__":
    main()
