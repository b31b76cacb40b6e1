"""What more processes bring: a gateway of two workers against a gateway of one process, in one run.

    python benchmarks/workers.py [--workers 2] [--out TABLE.md]

Both stand side by side and are asked in turn, one uint8 row a request, over sixteen connections: Linux deals out connections,
not requests. The one has its threads on all cores, the workers share the cores. The client takes its part of the same cores:
with two, two workers and a client want three.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from ratios import Table, arguments, compare
from victims import light_and_heavy

from knockguard.gateway_process import gateway

CONNECTIONS = 16


def main() -> None:
    """Print one row a case: requests a second of both, and workers / one process."""
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    columns = ("model", "at once", f"{given.workers} workers, req/s", "one process, req/s", "workers / one", "by server CPU")
    table = Table(f"A gateway of {given.workers} workers against one process", columns, given.out)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for victim, (bundle, side) in light_and_heavy(folder).items():
            pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
            with ExitStack() as stack:
                counts = (given.workers, 1)
                words = [("--workers", str(n)) for n in counts]
                running = [stack.enter_context(gateway(bundle, log=folder / f"{w[1]}.log", arguments=w)) for w in words]
                loads = [Load.of((r.address, r.process.pid), pixels, connections=CONNECTIONS) for r in running]
                ways = [load.way(given.seconds, window=CONNECTIONS) for load in loads]
                ratio, cpu = compare(*ways, repetitions=given.repetitions)
            table.row(victim, CONNECTIONS, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


if __name__ == "__main__":
    main()
