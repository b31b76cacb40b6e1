"""What limits of tenants cost: the gateway with them against the same gateway without, in one run.

    python benchmarks/limiting.py [--out TABLE.md]

The model is the smallest there is, so that everything around it shows: one row a request, uint8, sixteen requests at once. Limits
are wide enough that nothing is refused. The row of Redis needs redis-server on the PATH, and is left out without it.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

import numpy as np
from load import Load
from ratios import Table, arguments, compare
from victims import bundles

from knockguard.gateway_process import gateway

WINDOW = 16
SIDE = 32
LIMITS = "[default]\nrows_per_s = 1_000_000\nburst_rows = 1_000_000\nquota_rows = 1_000_000_000\n"


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis on loopback, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        sleep(1.0)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print one row a store: requests a second with and without limits, and with / without."""
    given = arguments(__doc__).parse_args()
    columns = ("store", "with, req/s", "without, req/s", "with / without", "by server CPU")
    table = Table("Limits of tenants, on against off", columns, given.out)
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "limits.toml").write_text(LIMITS)
        _, fused = bundles("cnn-wide", SIDE, folder)
        head = f'bundles = ["{fused}"]\n[tenant_limits]\nfile = "limits.toml"\n'
        stores = {"memory": head}
        if shutil.which("redis-server"):
            address = stack.enter_context(redis())
            stores["redis"] = f'{head}store = "redis"\n[tenant_limits.redis]\naddress = "{address}"\n'
        pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
        for store, settings in stores.items():
            file = folder / f"{store}.toml"
            file.write_text(settings)
            with ExitStack() as pair:
                on = pair.enter_context(gateway(log=folder / "on.log", arguments=("--config", str(file))))
                off = pair.enter_context(gateway(fused, log=folder / "off.log"))
                loads = [Load.of((running.address, running.process.pid), pixels) for running in (on, off)]
                ways = [load.way(given.seconds, window=WINDOW) for load in loads]
                ratio, cpu = compare(*ways, repetitions=given.repetitions)
            table.row(store, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


if __name__ == "__main__":
    main()
