"""What the guard costs: the gateway with it against the same gateway without, in one run.

    python benchmarks/guarding.py [--out TABLE.md]

Two gateways stand side by side and are asked in turn. *Decision*: both serve the fused graph, and the one without a guard
decides nothing. *Decision and heads*: the one without a guard serves the plain victim as well. Policies: `observe`, which
every bundle starts in, and `shuffle` on every row, which makes a key of each image. One row a request, uint8, sixteen
requests at once.
"""

import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from ratios import Table, arguments, compare
from victims import bundles

from knockguard.gateway_process import gateway

WINDOW = 16
VICTIMS = {"cnn-wide": 32, "resnet34": 224}
UNGUARDED = str(Path(__file__).with_name("unguarded.py"))


def main() -> None:
    """Print one row a case: requests a second with and without the guard, and with / without."""
    parser = arguments(__doc__)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS), help="which to serve; both by default")
    given = parser.parse_args()
    columns = ("model", "what is paid", "policy", "guarded, req/s", "without, req/s", "guarded / without", "by server CPU")
    table = Table("The gateway with its guard against the gateway without", columns, given.out)
    with TemporaryDirectory() as name:
        folder = Path(name)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        for victim in given.victims:
            side = VICTIMS[victim]
            plain, fused = bundles(victim, side, folder)
            pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
            policies = {
                "observe": (),
                "shuffle, to all": ("--policy", "shuffle", "--apply-to", "all", "--secret-file", str(secret)),
            }
            for policy, words in policies.items():
                for paid, peer in (("decision", fused), ("decision and heads", plain)):
                    with ExitStack() as stack:
                        on = stack.enter_context(gateway(fused, log=folder / "on.log", arguments=words))
                        off = stack.enter_context(gateway(peer, log=folder / "off.log", program=(UNGUARDED,)))
                        loads = [Load.of((running.address, running.process.pid), pixels) for running in (on, off)]
                        ways = [load.way(given.seconds, window=WINDOW) for load in loads]
                        ratio, cpu = compare(*ways, repetitions=given.repetitions)
                    table.row(f"{victim}, {side} px", paid, policy, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


if __name__ == "__main__":
    main()
