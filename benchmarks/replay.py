"""Replay against a gateway, and the same victim answering the same images in process, in one run.

    python benchmarks/replay.py [--victims resnet34 cnn-small] [--queries 512] [--out TABLE.md]

The victims are exported networks with random weights. The attack is Knockoff, carried out by the package's own replay: async,
so many requests under way, its transfer set on disk and a fresh one each time. The gateway is a process of its own and serves
the fused graph with its guard; in process the plain victim goes through ONNX Runtime, 32 images after 32, with all cores.
Both turn uint8 pixels into the network's input. The client takes its part of the gateway's cores.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from load import Load
from ratios import Table, Way, arguments, compare
from victims import bundles, export, plain_and_fused

from evaluation.adversaries.soft import Soft
from evaluation.attacks.base import Pool
from evaluation.attacks.knockoff import Knockoff
from evaluation.ledger import discard
from evaluation.replay import Budget, Campaign, replay
from evaluation.target import Pace, look_up
from grpc_api.client import GuardClient
from guard.bundle import load_bundle
from guard.preprocess import to_inputs
from guard.quiet_runtime import ort
from guard.types import Pixels
from knockguard.gateway_process import gateway

BATCH = 32  # the gateway's own largest
VICTIMS = {"resnet34": (64, 1), "efficientnet-lite0": (128, 1), "cnn-small": (32, 16)}  # pixels a side, times --queries
PACES = (Pace(), Pace(32, 4))  # the first is what the commands ask at


def main() -> None:
    """Print one row a victim and pace: queries a second of both, and replay / in process."""
    parser = arguments(__doc__)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS), help="which to steal; all by default")
    parser.add_argument("--queries", type=int, default=512, help="of a measurement; in place of --seconds")
    given = parser.parse_args()
    columns = ("victim", "queries", "rows", "at once", "replay, q/s", "in process, q/s", "replay / in process", "by CPU")
    table = Table("Replay against a gateway, and the victim in process", columns, given.out)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for victim in given.victims:
            side, times = VICTIMS[victim]
            pixels = np.random.default_rng(0).integers(0, 256, (times * given.queries, side, side, 3), dtype=np.uint8)
            _, bundle = bundles(victim, side, folder)
            peer = in_process(plain_and_fused(export(victim, side, folder))[0], bundle, pixels)
            with gateway(bundle, log=folder / "log") as running:
                server = Load.of((running.address, running.process.pid), pixels[:1])
                for pace in PACES:
                    way = Way(stealing(running.address, pixels, pace, folder / "transfer.npz"), server.cpu_s)
                    ratio, cpu = compare(way, peer, repetitions=given.repetitions)
                    table.row(f"{victim}, {side} px", len(pixels), pace.rows, pace.window, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


def in_process(model: bytes, bundle: Path, pixels: Pixels) -> Way:
    """Return the victim that is asked for all images, one batch after the other."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    spec = load_bundle(bundle).manifest.input

    def run() -> int:
        for start in range(0, len(pixels), BATCH):
            session.run(["probabilities"], {spec.name: to_inputs(pixels[start : start + BATCH], spec)})
        return len(pixels)

    return Way(run, process_time)


def stealing(address: str, pixels: Pixels, pace: Pace, path: Path) -> Callable[[], int]:
    """Return what asks a gateway about every image once, as an attack does."""
    pool = Pool(pixels)

    async def steal() -> int:
        campaign = Campaign(Knockoff(), Soft(), pool, 0, path, address)
        async with GuardClient(address) as client:
            target = await look_up(client, "victim")
            asked = await replay([client], target, campaign, Budget(len(pixels), pace), progress=lambda _done, _total: None)
        return len(asked)

    def run() -> int:
        discard(path)
        n = asyncio.run(steal())
        if n != len(pixels):
            raise RuntimeError(f"{n} of {len(pixels)} queries were asked: the pool was used up sooner than it should")
        return n

    return run


if __name__ == "__main__":
    main()
