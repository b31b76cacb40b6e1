"""What the demo must show, read from its results: `python .ci/story.py knockguard-demo` exits with 1 if it is not true."""

import sys
from pathlib import Path

from evaluation.results import read_results

UNDEFENDED_AT_LEAST, SHUFFLE_AT_MOST = 0.8, 0.5  # recovery; share of the undefended one
SECONDS = 480  # twice what two quiet cores may take: this machine's neighbours are not ours


def main(folder: Path) -> int:
    """Print each claim with its figure; return 1 if one does not hold."""
    results = read_results(folder)
    policies = {p.policy: p for p in results.policies}
    observe, shuffle = policies["observe"], policies["shuffle"]
    seconds = sum(results.stage_seconds.values())
    most = SHUFFLE_AT_MOST * observe.recovery
    detector, baseline = results.detector, results.baseline
    assert detector is not None
    assert baseline is not None
    claims = [
        (
            f"undefended recovery {observe.recovery:.2f}x, at least {UNDEFENDED_AT_LEAST}x",
            observe.recovery >= UNDEFENDED_AT_LEAST,
        ),
        (f"behind shuffle {shuffle.recovery:.2f}x, at most {most:.2f}x", shuffle.recovery <= most),
        (f"{detector.name} flags {detector.tpr:.3f} of out images, low-level statistics fewer", detector.tpr > baseline.tpr),
        (f"customers flagged {detector.fpr:.3f}, target {detector.target_fpr}", detector.fpr_interval[0] <= detector.target_fpr),
        (f"{seconds:.0f} s for all stages, at most {SECONDS} here", seconds <= SECONDS),
    ]
    for claim, holds in claims:
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    return 0 if all(holds for _, holds in claims) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
