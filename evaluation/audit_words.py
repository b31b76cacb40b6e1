"""An audit in words: the terminal's table, the Markdown page, and a verdict that says what to do."""

import math
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluation.audit_results import Audit, PoolAudit
from evaluation.detection import Measure
from guard.rate import Rate

COLUMNS = ("pool", "images", "detector", "TPR", "TNR", "AUROC", "FPR@95")
LOW_LEVEL = "low-level statistics"
_WORTH = 0.1  # a margin over the baseline below this is no content to rely on
_BENIGN_FACTOR = 2.0


def rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    """Yield one row a pool, kind of image and detector, the baseline last."""
    for pool in audit.pools:
        for kind, measures, baseline in (
            (f"matched at {pool.side} px", pool.matched, pool.low_level),
            ("as they come", pool.unmatched, pool.low_level_unmatched),
        ):
            for name, m in [*measures.items(), (LOW_LEVEL, baseline)]:
                yield (pool.name, kind, name, _rate(m.tpr), _rate(m.tnr), _free(m.auroc, m.auroc_interval), _at_95(m))


def table(audit: Audit) -> Table:
    """Return the table that closes an audit in the terminal."""
    shown = Table(title=f"{audit.bundle}: what is flagged, and by what", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(COLUMNS):
        shown.add_column(column, justify="left" if i < 3 else "right")
    for row in rows(audit):
        shown.add_row(*row)
    return shown


def judged(pool: PoolAudit, audit: Audit) -> str:
    """Return whether what is flagged is content: YES, PARTLY or NO.

    A rate of flagged out images says nothing by itself: whoever flags at random flags as many in images. So rates are compared
    after each has lost its own false-positive rate, on in images that went through the same chain.
    """
    found, baseline = pool.matched[audit.detector], pool.low_level
    (ours, at_least, _), (theirs, _, at_most) = _seen(found), _seen(baseline)
    if _nothing(pool, audit) or _by_chance(found) or at_least <= at_most or ours - theirs < _WORTH:
        return "NO"
    return "YES" if _by_chance(baseline) else "PARTLY"


def _by_chance(found: Measure) -> bool:
    """Return whether as large a share of in as of out images may be flagged."""
    return found.tpr.low <= found.fpr.high


def _seen(found: Measure) -> tuple[float, float, float]:
    """Return TPR less FPR and its 95 % interval, Newcombe's hybrid score interval (1998, method 10)."""
    tpr, fpr = found.tpr, found.fpr
    gap = tpr.value - fpr.value
    return (
        gap,
        gap - math.hypot(tpr.value - tpr.low, fpr.high - fpr.value),
        gap + math.hypot(tpr.high - tpr.value, fpr.value - fpr.low),
    )


def benign_hurt(audit: Audit) -> list[str]:
    """Return the re-encodings after which clearly more than twice the target is flagged."""
    return [name for name, rate in audit.benign.items() if rate.low > _BENIGN_FACTOR * audit.target_fpr]


def headline(audit: Audit) -> str:
    """Return the audit in a sentence, by its real pools where there is one."""
    pools = _counting(audit)
    worst = min(pools, key=lambda pool: _seen(pool.matched[audit.detector])[0])
    found = worst.matched[audit.detector].tpr.value
    answer = (
        "which is next to nothing"
        if _nothing(worst, audit)
        else "and as much of the customers' own images: it tells nothing"
        if _by_chance(worst.matched[audit.detector])
        else {
            "YES": "and this is content, not file format",
            "PARTLY": "part of it by content, part by file format",
            "NO": "which file format alone may explain: nothing here shows that it protects from somebody who re-encodes",
        }[judged(worst, audit)]
    )
    least = f" of the pool {worst.name}, the one it sees least" if len(pools) > 1 else f" of the pool {worst.name}"
    customers = "; some re-encoded images of customers are flagged too often" if benign_hurt(audit) else ""
    return f"{audit.detector} flags {100 * found:.0f} %{least}, {answer}{customers}."


def passed(audit: Audit) -> bool:
    """Return whether no pool that counts got a NO."""
    return all(judged(pool, audit) != "NO" for pool in _counting(audit))


def _counting(audit: Audit) -> list[PoolAudit]:
    """Return the real pools; a synthetic one stands in where there is none."""
    return [pool for pool in audit.pools if not pool.synthetic] or list(audit.pools)


def _nothing(pool: PoolAudit, audit: Audit) -> bool:
    """Return whether surely no more is flagged of a pool than is tolerated of re-encoded customers."""
    return pool.matched[audit.detector].tpr.high <= _BENIGN_FACTOR * audit.target_fpr


def verdict(audit: Audit) -> list[str]:
    """Return sentences: is it content, are customers safe, and what to do."""
    told = []
    for pool in audit.pools:
        detector, baseline = pool.matched[audit.detector], pool.low_level
        gap = _seen(detector)[0] - _seen(baseline)[0]
        start = (
            f"{pool.name}: {audit.detector} flags {_rate(detector.tpr)} of out and {_rate(detector.fpr)} of in images where "
            f"statistics that know nothing of content flag {_rate(baseline.tpr)} and {_rate(baseline.fpr)}"
        )
        if _nothing(pool, audit):
            told.append(
                f"{start}. NO: it sees next to nothing of this pool. Take another detector, or protect anew on such images."
            )
            continue
        if _by_chance(detector):
            told.append(
                f"{start}. NO: after the matched chain it flags in images as often as out images, so its flags tell nothing. "
                "Take another detector, or protect anew with calibration images like those of your customers."
            )
            continue
        told.append(
            {
                "NO": f"{start}. NO: what it sees here may be file format alone, and an adversary re-encodes at no cost. Protect "
                "anew with out images of the same size and history, or take a detector on later stages.",
                "PARTLY": f"{start}. PARTLY: {gap:.2f} of it is content; the rest is a trace that re-encoding removes.",
                "YES": f"{start}. YES: this is content.",
            }[judged(pool, audit)]
        )
        told += _near(pool)
    told += _left_out(audit)
    if hurt := benign_hurt(audit):
        names = ", ".join(f"{name} ({_rate(audit.benign[name])})" for name in hurt)
        told.append(f"Customers are hurt: more than twice the target of {audit.target_fpr:.0%} is flagged after {names}.")
    else:
        told.append(
            f"Customers are safe: no re-encoding is flagged at clearly more than twice the target of {audit.target_fpr:.0%}."
        )
    return told + _uneven(audit)


def _left_out(audit: Audit) -> list[str]:
    """Tell what made the bundle and is not measured on, or that nobody knows."""
    if audit.left_out is None:
        return [
            "Whether some of these images made the bundle cannot be checked: it does not say which did. Figures on images that "
            "fitted or calibrated it are too good."
        ]
    told = [f"Left out, since they made the bundle: {what} of {name}." for name, what in audit.left_out.items()]
    if audit.n_logged:
        told.append(
            f"Whether some of these images are among the {audit.n_logged:,} whose logged scores calibrated it cannot be checked: "
            "a log holds no images. Its false-positive rate on them is too good."
        )
    return told


def _uneven(audit: Audit) -> list[str]:
    """Tell the classes of customers that bear more of the flags than they should, if there are any."""
    borne = [(name, rate) for name, rate in audit.worst_in_classes if rate.low > _BENIGN_FACTOR * audit.target_fpr]
    if not borne:
        return []
    names = ", ".join(f"{name} ({_rate(rate)})" for name, rate in borne)
    return [
        f"Customers' classes are not treated alike: clearly more than twice the target is flagged of {names}. Try --per-class."
    ]


def _near(pool: PoolAudit) -> list[str]:
    """Tell what is seen of the nearest fifth, if it is clearly less than of the farthest."""
    if not pool.distances or pool.distances[0].flagged.high >= pool.distances[-1].flagged.low:
        return []
    near, far = pool.distances[0].flagged, pool.distances[-1].flagged
    start = f"{pool.name}: of the fifth that looks most like the model's classes {_rate(near)} is flagged"
    return [f"{start}, of the farthest {_rate(far)}."]


def markdown(audit: Audit) -> str:
    """Return the page."""
    lines = [f"# Audit of {audit.bundle}", "", *(f"- {sentence}" for sentence in verdict(audit)), ""]
    lines += [
        f"{audit.n_in} in images, seed {audit.seed}. TPR: out flagged / all out; TNR: in let through / all in; FPR = 1 - TNR; "
        "FPR@95: in flagged where 95 % of out is; 95 % intervals.",
        "",
    ]
    lines += _table(COLUMNS, rows(audit))
    lines += ["## Customers whose images were re-encoded", ""]
    lines += _table(("re-encoding", "flagged"), ((name, _rate(rate)) for name, rate in audit.benign.items()))
    if audit.worst_in_classes:
        lines += _table(("class, as it is sent", "flagged"), ((name, _rate(rate)) for name, rate in audit.worst_in_classes))
    for pool in audit.pools:
        lines += [f"## {pool.name}: the matched chain", "", chosen(pool), ""]
        if pool.distances:
            lines += [f"## {pool.name}: by distance from the nearest class", ""]
            fifths = ((f"{part.low:.2f} to {part.high:.2f}", _rate(part.flagged)) for part in pool.distances)
            lines += _table(("distance, in medians of the in images' own", "flagged"), fifths)
        if pool.worst_classes:
            lines += [f"## {pool.name}: the classes that are seen least", ""]
            lines += _table(("class", "flagged"), ((name, _rate(rate)) for name, rate in pool.worst_classes))
    return "\n".join(lines) + "\n"


def chosen(pool: PoolAudit) -> str:
    """Return what both sides went through, and by how many images it was chosen."""
    n_in, n_out = pool.n_chose
    return (
        f"Both sides are {pool.chain}: chosen on {n_in} in and {n_out} out images, which are not among those measured, so that "
        "statistics that know nothing of content have the least left."
    )


def _table(head: tuple[str, ...], body: Iterator[tuple[str, ...]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in body]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in escaped), ""]


def _rate(rate: Rate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] n={rate.n}"


def _free(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _at_95(m: Measure) -> str:
    return _free(m.fpr_at_95, m.fpr_at_95_interval)
