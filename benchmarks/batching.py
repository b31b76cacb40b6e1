"""What dynamic batching brings: the gateway with it against the gateway that runs each request alone, in one run.

    python benchmarks/batching.py [--out TABLE.md]

Two gateways of one bundle stand side by side and are asked in turn, one uint8 row a request. The one takes up to 32 rows
into an inference, of those that wait while the model is busy; the other one row.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from ratios import Table, arguments, compare
from victims import light_and_heavy

from knockguard.gateway_process import gateway

WINDOWS = (1, 16, 64)


def main() -> None:
    """Print one row a case: requests a second of both, and batched / alone."""
    given = arguments(__doc__).parse_args()
    columns = ("model", "at once", "batched, req/s", "alone, req/s", "batched / alone", "by server CPU")
    table = Table("The gateway with dynamic batching against one row an inference", columns, given.out)
    with TemporaryDirectory() as name:
        folder = Path(name)
        alone = folder / "alone.toml"
        alone.write_text("[limits]\nmax_batch_rows = 1\n")
        for victim, (bundle, side) in light_and_heavy(folder).items():
            pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
            with ExitStack() as stack:
                words = ((), ("--config", str(alone)))
                running = [stack.enter_context(gateway(bundle, log=folder / f"{len(w)}.log", arguments=w)) for w in words]
                loads = [Load.of((r.address, r.process.pid), pixels) for r in running]
                for window in WINDOWS:
                    ways = [load.way(given.seconds, window=window) for load in loads]
                    ratio, cpu = compare(*ways, repetitions=given.repetitions)
                    table.row(victim, window, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


if __name__ == "__main__":
    main()
