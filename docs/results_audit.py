"""Write the page of audits: `python docs/results_audit.py`; with --check only compare.

Reads docs/results/audit-SET-POOL.json, each the audit.json of a bundle that experiments/audits.py made, and writes
docs/results-audit.md. No figure in its tables is typed by hand.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kept_page import keep

from evaluation.markdown import grid

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results", FOLDER / "results-audit.md"
VICTIMS = {"cifar10": "CIFAR10", "gtsrb": "GTSRB"}
WITH = {"real": "real images", "synthetic": "`synthetic`"}
Audit = Mapping[str, Any]

INTRODUCTION = """\
# What a real pool is worth, and what none

Two bundles of each victim, protected by `knockguard protect` with 6,000 images of 99 Tiny ImageNet classes and with
[`synthetic`](protecting.md#no-public-pool-at-hand), and both audited by `knockguard audit` on four pools. Made by

    python experiments/audits.py --data DATA -o OUT
    python docs/results_audit.py     # after copying OUT/SET/with-POOL/audit/audit.json to docs/results/audit-SET-POOL.json

*near* (animals) and *far* (objects) are other classes of Tiny ImageNet, *second* ImageNet samples, none of a kind that the victim
knows; the victims are small CNNs of 32 pixels, the in images the published test splits. Both sides went through the matched
chain; the baseline, statistics that know nothing of content, stands at the detector's own false-positive rate. One seed.
"""


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for name, title in VICTIMS.items():
        audits = {pool: json.loads((RESULTS / f"audit-{name}-{pool}.json").read_text(encoding="utf-8")) for pool in WITH}
        lines += [f"## {title}", "", *of_pools(audits), *of_customers(audits)]
    return "\n".join([*lines, VERDICT]).rstrip() + "\n"


def of_pools(audits: Mapping[str, Audit]) -> list[str]:
    """Return the table of pools: what each bundle flags, its own false-positive rate, and the baseline's share."""
    head = ("pool that is audited", "n", "protected with", "TPR", "FPR", "AUROC", "baseline's TPR", "content?")
    return grid(head, list(_pools(audits)))


def _pools(audits: Mapping[str, Audit]) -> Iterator[tuple[str, ...]]:
    for beside in zip(*(audit["pools"] for audit in audits.values()), strict=True):
        for (made, audit), pool in zip(audits.items(), beside, strict=True):
            found = pool["matched"][audit["detector"]]
            low, high = found["auroc_interval"]
            yield (
                pool["name"],
                f"{pool['n']:,}",
                WITH[made],
                rate(found["tpr"]),
                rate(found["fpr"]),
                f"{found['auroc']:.3f} ({low:.3f} to {high:.3f})",
                rate(pool["low_level"]["tpr"]),
                pool["judged"],
            )


def of_customers(audits: Mapping[str, Audit]) -> list[str]:
    """Return how many of the in images are flagged after what honest senders do to them."""
    names = list(next(iter(audits.values()))["benign"])
    n = next(iter(audits.values()))["n_in"]
    body = [(name, *(f"{audit['benign'][name]['value']:.3f}" for audit in audits.values())) for name in names]
    head = (f"customers' images (n = {n:,})", *(f"flagged, protected with {WITH[pool]}" for pool in audits))
    return grid(head, body)


def rate(found: Mapping[str, float]) -> str:
    """Return a rate with its 95 % interval."""
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


VERDICT = """\
## What it says

- **GTSRB: no pool at hand is no obstacle.** Protected with `synthetic`, .85 to .89 of real photographs are flagged, and with
  real ones .95 to .97: traffic signs are unlike anything that the generators draw. Half of either is a spectrum that the baseline
  reads.
- **CIFAR10: `synthetic` finds no content**, and a real pool finds some in objects and in the second source, and none in animals
  that the detector has not seen. Whose images show what public photographs show needs a real pool, and a victim with better
  features.
- **The synthetic pool's own TPR says nothing of real images**, in either direction.
- **Customers.** On CIFAR10 half the size and back is flagged twice as often as was promised. On GTSRB the promise of 5 % is
  missed on matched images (.06 to .09): `protect` was given whole tracks, whose frames are no independent draws. Crops and grey
  images are flagged most.
"""

if __name__ == "__main__":
    sys.exit(keep(PAGE, page, script="results_audit.py", about=__doc__))
