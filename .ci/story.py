"""What the demo must show, read from its results: `python .ci/story.py knockguard-demo` exits with 1 if it is not true."""

import sys
from pathlib import Path

from evaluation.results import read_results

UNDEFENDED_AT_LEAST, SHUFFLE_AT_MOST = 0.8, 0.5  # recovery; share of the undefended one
SECONDS, SLOWER = 240, 2.0  # of the demo on two quiet cores; how much slower a busy machine may be


def main(folder: Path) -> int:
    """Print each claim with its figure; return 1 if one does not hold."""
    results = read_results(folder)
    recovery = {p.policy: p.recovery for p in results.policies}
    seconds = sum(results.stage_seconds.values())
    kept = recovery["shuffle"] / recovery["observe"]
    claims = [
        (
            f"undefended recovery {recovery['observe']:.2f}x, at least {UNDEFENDED_AT_LEAST}x",
            recovery["observe"] >= UNDEFENDED_AT_LEAST,
        ),
        (f"shuffle leaves {kept:.2f} of it, at most {SHUFFLE_AT_MOST}", kept <= SHUFFLE_AT_MOST),
        (f"{seconds:.0f} s for all stages, {SECONDS} on two quiet cores", seconds <= SLOWER * SECONDS),
        ("detector and its low-level baseline are both reported", None not in (results.detector, results.baseline)),
    ]
    for claim, holds in claims:
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    return 0 if all(holds for _, holds in claims) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
