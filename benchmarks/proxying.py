"""What a gateway in front of another server adds: each query's time through it against the same query sent there directly.

    python benchmarks/proxying.py [--out TABLE.md]

The upstream is the plainest V2 server (`plain_upstream.py`), in a process of its own, with the fused model; the gateway strips
the score and decides. One client asks one query at a time, float32, in turns of both ways; figures are medians of a turn. The
model computes next to nothing, so what is added is the proxy's own work, and what three processes take from each other.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from ratios import Table, arguments
from victims import made_up

from knockguard.gateway_process import gateway

SIDES = (32, 224)  # 12 and 588 KiB


def main() -> None:
    """Print one row a size: milliseconds of both ways, and what the gateway adds."""
    parser = arguments(__doc__)
    parser.set_defaults(repetitions=9)
    given = parser.parse_args()
    columns = ("model", "KiB", "direct, ms", "through the gateway, ms", "added, ms")
    table = Table("The gateway in front of a V2 server against the server alone, one query at a time", columns, given.out)
    with TemporaryDirectory() as name:
        for side in SIDES:
            bundle = made_up(Path(name), side)
            images = np.random.default_rng(0).random((1, 3, side, side), np.float32)
            with (
                plain_upstream(bundle) as server,
                gateway(bundle, log=Path(name) / "log", arguments=("--upstream", server[0])) as ours,
            ):
                direct, through = (Load.of(s, images) for s in (server, (ours.address, ours.process.pid)))
                pairs = [
                    (direct.median_ms(given.seconds), through.median_ms(given.seconds)) for _ in range(given.repetitions + 1)
                ][1:]  # the first warms up
            added = sorted(b - a for a, b in pairs)
            spread = f"{median(added):.2f} ({added[0]:.2f} to {added[-1]:.2f}, n={len(added)})"
            medians = [f"{median(way):.2f}" for way in zip(*pairs, strict=True)]
            table.row(f"next to nothing, {side} px", f"{direct.kib:.0f}", *medians, spread)
    table.write()


@contextmanager
def plain_upstream(bundle: Path) -> Iterator[tuple[str, int]]:
    """Serve a bundle's model without a guard until the block ends; yields the address and the pid."""
    program = Path(__file__).with_name("plain_upstream.py")
    process = subprocess.Popen([sys.executable, program, bundle], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
