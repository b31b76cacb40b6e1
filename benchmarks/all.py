"""Run every benchmark of the gateway, one after the other, and write their tables: about ten minutes on a quiet machine.

    KNOCKGUARD_MLSERVER_PYTHON=.../bin/python python benchmarks/all.py [--out docs/performance] [--only proxying workers]

Without the variable MLServer is left out, and its table stays as it was. One that fails stops no other; the exit code is 1.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

from mlserver import VARIABLE

HERE = Path(__file__).parent
# Enough for a median: what a quiet machine needs. ResNet-34's turns take as long as sixteen queries do.
WORDS = ("--repetitions", "5", "--seconds", "0.5")
SCRIPTS: dict[str, tuple[str, ...]] = {
    "gateway": WORDS,
    "mlserver": WORDS,
    "guarding": WORDS,
    "limiting": WORDS,
    "proxying": ("--repetitions", "15", "--seconds", "0.5"),
    "workers": WORDS,
    "batching": WORDS,
    "payloads": WORDS,
    "fused": ("--repetitions", "5", "--seconds", "0.3"),
    "replay": ("--repetitions", "5"),
}


def main() -> int:
    """Run what was asked for and say how long each took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance", help="folder of the tables")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS), help="which to run; all by default")
    given = parser.parse_args()
    failed = []
    for name in given.only:
        if name == "mlserver" and not os.environ.get(VARIABLE):
            print(f"== {name} left out: {VARIABLE} names no Python with mlserver", flush=True)
            continue
        print(f"== {name}", flush=True)
        began = monotonic()
        command = [sys.executable, HERE / f"{name}.py", *SCRIPTS[name], "--out", given.out / f"{name}.md"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"== {name} took {monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
