"""An audit in words: the terminal's table, the Markdown page, and a verdict that says what to do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluation.detection import Measure
from guard.rate import Rate

if TYPE_CHECKING:
    from knockguard.audit import Audit

COLUMNS = ("pool", "images", "detector", "TPR", "FPR", "AUROC", "FPR@95")
LOW_LEVEL = "low-level statistics"
_WORTH = 0.1  # a margin over the baseline below this is no content to rely on
_BENIGN_FACTOR = 2.0


def rows(audit: "Audit") -> Iterator[tuple[str, ...]]:
    """Yield one row a pool, kind of image and detector, the baseline last."""
    for pool in audit.pools:
        for kind, measures, baseline in (
            (f"matched at {pool.side} px", pool.matched, pool.low_level),
            ("as they come", pool.unmatched, pool.low_level_unmatched),
        ):
            for name, m in [*measures.items(), (LOW_LEVEL, baseline)]:
                yield (pool.name, kind, name, _rate(m.tpr), _rate(m.fpr), _free(m.auroc, m.auroc_interval), _at_95(m))


def table(audit: "Audit") -> Table:
    """Return the table that closes an audit in the terminal."""
    shown = Table(title=f"{audit.bundle}: what is flagged, and by what", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(COLUMNS):
        shown.add_column(column, justify="left" if i < 3 else "right")
    for row in rows(audit):
        shown.add_row(*row)
    return shown


def verdict(audit: "Audit") -> list[str]:
    """Return sentences: is it content, are customers safe, and what to do."""
    told = []
    for pool in audit.pools:
        detector, baseline = pool.matched[audit.detector], pool.low_level
        margin = detector.tpr.value - baseline.tpr.value
        start = (
            f"{pool.name}: {audit.detector} flags {_rate(detector.tpr)} of out images where statistics that know nothing of "
            f"content flag {_rate(baseline.tpr)}"
        )
        if detector.tpr.low <= baseline.tpr.high or margin < _WORTH:
            told.append(f"{start}. NO: what it sees here may be file format alone, and an adversary re-encodes at no cost.")
        elif baseline.tpr.low > baseline.fpr.high:
            told.append(f"{start}. PARTLY: {margin:.2f} of it is content; the rest is a trace that re-encoding removes.")
        else:
            told.append(f"{start}. YES: this is content.")
    limit = _BENIGN_FACTOR * audit.target_fpr
    hurt = [f"{name} ({_rate(rate)})" for name, rate in audit.benign.items() if rate.low > limit]
    if hurt:
        told.append(
            f"Customers are hurt: more than twice the target of {audit.target_fpr:.0%} is flagged after {', '.join(hurt)}."
        )
    else:
        told.append(
            f"Customers are safe: no re-encoding is flagged at clearly more than twice the target of {audit.target_fpr:.0%}."
        )
    return told


def markdown(audit: "Audit") -> str:
    """Return the page."""
    lines = [f"# Audit of {audit.bundle}", "", *(f"- {sentence}" for sentence in verdict(audit)), ""]
    lines += [
        f"{audit.n_in} in images, seed {audit.seed}. TPR: out flagged / all out; FPR: in flagged / all in; 95 % intervals.",
        "",
    ]
    lines += _table(COLUMNS, rows(audit))
    lines += ["## Customers whose images were re-encoded", ""]
    lines += _table(("re-encoding", "flagged"), ((name, _rate(rate)) for name, rate in audit.benign.items()))
    for pool in audit.pools:
        if pool.worst_classes:
            lines += [f"## {pool.name}: the classes that are seen least", ""]
            lines += _table(("class", "flagged"), ((name, _rate(rate)) for name, rate in pool.worst_classes))
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], body: Iterator[tuple[str, ...]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in body]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in escaped), ""]


def _rate(rate: Rate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] n={rate.n}"


def _free(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _at_95(m: Measure) -> str:
    return _free(m.fpr_at_95, m.fpr_at_95_interval)
