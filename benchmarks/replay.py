"""Replay against a gateway, and the same queries answered by the victim in process, in one run.

    python benchmarks/replay.py [--size 64] [--widths 64 128 256] [--queries 1024]

The victim is made up (see `gateway.py`), the attack is Knockoff with its ledger on disk, the gateway a process of its own and
the transfer set a fresh one each time. In process the same images go to ONNX Runtime, 32 at once, with all cores, as in the
gateway. Both share the machine's cores with whoever asks.
"""

import argparse
import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gateway import made_up
from ratios import compare

from evaluation.adversaries.soft import Soft
from evaluation.attacks.base import Pool
from evaluation.attacks.knockoff import Knockoff
from evaluation.ledger import discard
from evaluation.replay import Budget, Campaign, replay
from evaluation.target import Pace, look_up
from exporters.runtime import run
from grpc_api.client import GuardClient
from guard.bundle import load_bundle
from guard.preprocess import to_inputs
from knockguard.gateway_process import gateway


def main() -> None:
    """Print queries a second of both, and replay / in process, for each pace."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    pixels = np.random.default_rng(0).integers(0, 256, (given.queries, given.size, given.size, 3), dtype=np.uint8)
    pool = Pool(pixels)
    with TemporaryDirectory() as name:
        folder = Path(name)
        bundle = load_bundle(made_up(folder / "bundle", given.size, given.widths))
        spec, inputs = bundle.manifest.input, to_inputs(pixels, bundle.manifest.input)
        print(f"{'rows':>5}{'window':>8}{'replay, q/s':>13}{'in process':>12}  replay / in process")
        with gateway(folder / "bundle", log=folder / "log") as running:
            for pace in (Pace(1, 16), Pace(16, 8), Pace(32, 4)):

                def stolen(pace: Pace = pace) -> int:
                    discard(folder / "transfer.npz")
                    campaign = Campaign(Knockoff(), Soft(), pool, 0, folder / "transfer.npz", running.address)
                    return asyncio.run(steal(running.address, campaign, Budget(given.queries, pace)))

                def direct() -> int:
                    return len(run(bundle.model, inputs, outputs=("probabilities",))["probabilities"])

                ratio = compare(stolen, direct, repetitions=given.repetitions)
                print(f"{pace.rows:>5}{pace.window:>8}{ratio.rate:>13.0f}{ratio.peer:>12.0f}  {ratio}", flush=True)
    print(f"victim: {given.size} px, channels {given.widths}, input {spec.shape}; {given.queries} queries")


async def steal(address: str, campaign: Campaign, budget: Budget) -> int:
    """Carry the attack out and return how much it asked."""
    async with GuardClient(address) as client:
        asked = await replay([client], await look_up(client, "victim"), campaign, budget, progress=lambda _done, _total: None)
    return len(asked)


if __name__ == "__main__":
    main()
