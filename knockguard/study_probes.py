"""What a study asks beside the rates: what stages read, what honest re-encoding costs, what dressing up saves a thief."""

import numpy as np

from evaluation.baseline import FEWEST
from evaluation.detection_study import BenignRow, MasqueradeRow, StageRow
from evaluation.evasion import SquareSearch
from evaluation.masquerade import LOOKALIKES, MASQUERADES, masquerade
from evaluation.metrics import auroc
from guard.benign import BENIGN, benign
from guard.calibration import Threshold
from guard.fitting.logistic import fit_logistic
from guard.rate import Rate
from guard.types import Floats, Pixels
from knockguard.console import note
from knockguard.study_scores import STRENGTH, Reader, Scored
from knockguard.study_worlds import Worlds

_N_BENIGN = 1_500
_N_DRESSED = 1_000  # queries of the attack's pool, near and far in equal parts
_N_SEARCHED = 100


def stage_rows(matched: Scored, plain: Scored, worlds: Worlds) -> list[StageRow]:
    """Return a row a stage: how well it tells out from in, and how well it reads what a detector should not know."""
    probes = {trace: (matched.features(a), matched.features(b)) for trace, (a, b) in worlds.probes().items()}
    rows = []
    for stage, width in matched.widths.items():
        traces = {trace: _readable(a[stage], b[stage]) for trace, (a, b) in probes.items()}
        rows.append(
            StageRow(
                stage,
                width,
                _area(matched, stage, kept=False),
                _area(matched, stage, kept=True),
                _area(plain, stage, kept=False),
                traces["codec"],
                traces["resolution"],
            )
        )
    return rows


def _area(scored: Scored, name: str, *, kept: bool) -> float:
    """AUROC on all pools together, or on their lookalikes; .5 where there are none."""
    scores = np.concatenate([s[name][scored.kept[pool]] if kept else s[name] for pool, s in scored.outside.items()])
    return auroc(scored.inside[name], scores) if len(scores) else 0.5


def _readable(a: Floats, b: Floats) -> float:
    """AUROC of a regression that tells a from b, fitted on one half of each and tested on the other."""
    weights, bias = fit_logistic(a[::2], b[::2], strength=STRENGTH)
    return auroc((a[1::2] @ weights + bias).astype(np.float32), (b[1::2] @ weights + bias).astype(np.float32))


def benign_rows(matched: Scored, worlds: Worlds, detectors: list[str], *, target_fpr: float) -> list[BenignRow]:
    """Return the false-positive rate of each detector on each re-encoding of the in images as customers send them."""
    images = worlds.in_tests()[:_N_BENIGN]
    rows, read = [], matched.reader(detectors)
    for transform in BENIGN:
        scores = read(benign(transform, images))
        rows += [
            BenignRow(transform, name, Rate.of(matched.threshold(name, target_fpr).flags(scores[name]))) for name in detectors
        ]
    return rows


def masquerade_rows(
    matched: Scored, worlds: Worlds, detectors: list[str], *, target_fpr: float, seed: int
) -> list[MasqueradeRow]:
    """Return what each detector still flags of queries that were dressed up, and of those searched against its score."""
    inside = worlds.adversary()
    if inside is None:
        note("the file gives the adversary no in images, so no query is dressed up; raise shares.adversary")
        return []
    pools = [matched.world.out_tests[pool][: _N_DRESSED // 2] for pool in ("near", "far") if pool in matched.world.out_tests]
    queries = np.concatenate(pools)
    queries = queries[np.random.default_rng(seed).permutation(len(queries))]
    thresholds = {name: matched.threshold(name, target_fpr) for name in detectors}
    rows, read = [], matched.reader(detectors)
    for name in MASQUERADES:
        if name == LOOKALIKES and (fewest := min(len(inside), len(queries))) < FEWEST:
            note(
                f"left out: {name}; {fewest} images of the adversary's are too few to choose by, it takes {FEWEST} of either kind"
            )
            continue
        dressed = masquerade(name, queries, inside, seed=seed)
        moved = _moved(queries, dressed) if len(dressed) == len(queries) else 0.0
        scores = read(dressed)
        rows += [MasqueradeRow(name, d, Rate.of(t.flags(scores[d])), False, moved) for d, t in thresholds.items()]
    for step in (4, 8):
        rows += _searched(read, queries[:_N_SEARCHED], thresholds, SquareSearch(step=step), seed=seed)
    return rows


def _searched(
    read: Reader, queries: Pixels, thresholds: dict[str, Threshold], search: SquareSearch, *, seed: int
) -> list[MasqueradeRow]:
    """Search against the first detector's score; the others tell what carries over to a detector that was not searched."""
    first = next(iter(thresholds))
    found = search.run(queries, lambda pixels: read(pixels)[first], seed=seed)
    scores = read(found)
    what = f"search, {search.n_steps} scores of {first}, at most {search.step} grey levels"
    moved = _moved(queries, found)
    return [MasqueradeRow(what, d, Rate.of(t.flags(scores[d])), d == first, moved) for d, t in thresholds.items()]


def _moved(before: Pixels, after: Pixels) -> float:
    return float(np.abs(before.astype(np.float32) - after.astype(np.float32)).mean())
