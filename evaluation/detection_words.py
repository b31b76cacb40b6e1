"""A detection study in words: the terminal's table, and the Markdown of one study file."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluation.baseline import Margin
from evaluation.detection_paper import paper
from evaluation.detection_study import AS_THEY_COME, BASELINE, MATCHED, Study, VictimStudy, pools_of
from evaluation.markdown import grid
from guard.rate import Rate

POOLS = {"near": "near (animals)", "far": "far (objects)", "second": "second source"}


def table(study: Study) -> Table:
    """Return the terminal's table: every detector after the matched chain at the file's own target."""
    target = study.targets[-1]
    shown = Table(title=f"{study.title}: at a target of {target:.0%}", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(("victim", "detector", "pool", "TPR", "FPR", "baseline", "margin")):
        shown.add_column(column, justify="left" if i < 3 else "right")
    for victim in study.victims:
        for name, pool, tpr, fpr, baseline, gap, *_ in _margin_rows(victim, target):
            shown.add_row(victim.name, name, pool, tpr.partition(" ")[0], fpr, baseline, gap)
    return shown


def markdown(study: Study) -> str:
    """Return the page of one study."""
    lines = [f"## {study.title}", ""]
    for victim in study.victims:
        lines += [*_victim(victim, study), ""]
    lines += paper(study)
    return "\n".join(lines).rstrip() + "\n"


_HEAD = (
    "detector",
    "pool",
    "TPR",
    "FPR",
    "baseline",
    "margin",
    "TPR, lookalikes",
    "baseline there",
    "AUROC",
    "FPR@95",
    "as they come (baseline)",
)


def _victim(victim: VictimStudy, study: Study) -> list[str]:
    lines = [
        f"### {victim.name} ({victim.set}, {victim.architecture} at {victim.size} px, seed {victim.seed})",
        "",
        f"Accuracy {victim.accuracy:.3f} as images come, {victim.accuracy_matched:.3f} after the matched chain, trained on "
        f"{victim.n_train:,} images. Images: {', '.join(f'{name} {n:,}' for name, n in victim.counts.items())}.",
        "",
        f"Matched chain: {victim.chain}.",
        "",
        *verdict(victim, study),
        "",
    ]
    for target in reversed(study.targets):
        if rows := list(_margin_rows(victim, target)):  # none where too few images calibrate
            lines += [f"Target false-positive rate {target:.0%}, after the matched chain:", "", *grid(_HEAD, rows)]
    lines += ["What the chain was chosen by: the baseline on the images that fit detectors.", ""]
    lines += grid(
        ("filter", "side", "baseline TPR", "AUROC"), [(k, str(s), f"{t:.2f}", f"{a:.3f}") for k, s, t, a in victim.trials]
    )
    if victim.stages:
        lines += _stages(victim)
    if victim.benign:
        lines += _benign(victim, study)
    if victim.masquerades:
        lines += _masquerades(victim)
    return lines


def verdict(victim: VictimStudy, study: Study) -> list[str]:
    """Return a sentence a pool: how much of what the default detector sees is content."""
    told, target = [], study.targets[-1]
    for pool in pools_of(victim):
        if (row := victim.find(MATCHED, study.default, pool, target)) is None:
            continue
        gap = row.margin
        word = "content" if gap.low > 0.1 else "hardly more than file format" if gap.low <= 0 else "a little content"
        told.append(
            f"- {POOLS.get(pool, pool)}: `{study.default}` flags {short(row.measure.tpr)} where the baseline flags "
            f"{short(row.baseline)}: a margin of {gap_of(gap)}, {word}."
        )
    return told


def _margin_rows(victim: VictimStudy, target: float) -> Iterable[Sequence[str]]:
    names = list(dict.fromkeys(row.detector for row in victim.rows if row.world == MATCHED))
    for name in names:
        for pool in pools_of(victim):
            if (row := victim.find(MATCHED, name, pool, target)) is None:
                continue
            yield (
                name,
                pool,
                rate(row.measure.tpr),
                f"{row.measure.fpr.value:.3f}",
                f"{row.baseline.value:.2f}",
                "-" if name == BASELINE else gap_of(row.margin),
                rate(row.lookalikes),
                "-" if row.lookalikes_baseline is None else f"{row.lookalikes_baseline.value:.2f}",
                f"{row.measure.auroc:.3f}",
                f"{row.measure.fpr_at_95:.2f}",
                _unmatched(victim, name, pool, target),
            )


def _unmatched(victim: VictimStudy, name: str, pool: str, target: float) -> str:
    row = victim.find(AS_THEY_COME, name, pool, target)
    return "-" if row is None else f"{row.measure.tpr.value:.2f} ({row.baseline.value:.2f})"


def _stages(victim: VictimStudy) -> list[str]:
    head = ("stage", "features", "AUROC matched", "on lookalikes", "as they come", "reads the codec", "reads the resolution")
    body = [
        (
            r.stage,
            str(r.n_features),
            f"{r.matched:.3f}",
            f"{r.lookalikes:.3f}",
            f"{r.as_they_come:.3f}",
            f"{r.codec:.3f}",
            f"{r.resolution:.3f}",
        )
        for r in victim.stages
    ]
    return [
        "A logistic regression on one stage at a time; .5 knows nothing, and the last two columns know no content:",
        "",
        *grid(head, body),
    ]


def _benign(victim: VictimStudy, study: Study) -> list[str]:
    names = list(dict.fromkeys(r.detector for r in victim.benign))
    by = {(r.transform, r.detector): r.fpr for r in victim.benign}
    body = [(t, *(rate(by[t, name]) for name in names)) for t in dict.fromkeys(r.transform for r in victim.benign)]
    return [
        f"In images that honest customers re-encoded, flagged at a target of {study.targets[-1]:.0%}:",
        "",
        *grid(("re-encoding", *names), body),
    ]


def _masquerades(victim: VictimStudy) -> list[str]:
    names = list(dict.fromkeys(r.detector for r in victim.masquerades))
    by = {(r.masquerade, r.detector): r for r in victim.masquerades}
    body = []
    for what in dict.fromkeys(r.masquerade for r in victim.masquerades):
        rows = [by[what, name] for name in names]
        marks = [f"{rate(r.tpr)}{' *' if r.score_needed else ''}" for r in rows]
        body.append((what, *marks, f"{rows[0].moved:.1f}" if rows[0].moved else "-"))
    return [
        "Queries dressed up as the victim's own kind, half of them near and half far, flagged:",
        "",
        *grid(("masquerade", *names, "moved, grey levels"), body),
        "\\* searched against this very score, which no client sees: an upper bound on evasion.",
        "",
    ]


def rate(found: Rate | None) -> str:
    """Return a share, its interval and its n; a dash for none."""
    return "-" if found is None or not found.n else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] n={found.n}"


def short(found: Rate) -> str:
    """Return a share with its n."""
    return f"{found.value:.2f} (n={found.n:,})"


def gap_of(found: Margin) -> str:
    """Return a margin and its interval."""
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
