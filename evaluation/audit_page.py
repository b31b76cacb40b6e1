"""audit.html: an audit on one page that opens offline: verdict, plots, tables, and the pictures of the errors."""

from pathlib import Path

import numpy as np

from evaluation.artefacts import Artefacts
from evaluation.audit_plots import benign_plot, detection_plot, distance_plot
from evaluation.audit_results import Audit, PoolAudit, Shown
from evaluation.audit_words import LOW_LEVEL, benign_hurt, chosen, headline, judged, verdict
from evaluation.detection import Measure
from evaluation.page import document, fold, items, note, plot, section, strip, table, tile_row
from evaluation.report_plots import score_plot
from evaluation.report_text import count, rate, share
from guard.rate import Rate
from guard.whole import write_whole

LIMITS = (
    "An attacker who owns the victim's own kind of image looks like a customer to any detector of single queries.",
    "An adversary re-encodes at will: only the matched figures count, and of those what low-level statistics do not reach.",
    "Intervals are of these images alone. Images that are crops of one picture, or frames of one film, are fewer than they look.",
)
_SYNTHETIC = "A synthetic pool is made from your own images and from generators; it stands in for no real one."


def write_page(audit: Audit, shown: Shown, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, page(audit, shown).encode())


def page(audit: Audit, shown: Shown) -> str:
    """Return the page as HTML text."""
    far = distance_plot(audit)
    sections = [
        section("Verdict", items(verdict(audit))),
        section("What is flagged", plot(detection_plot(audit)) + _pools(audit) + note(_about(audit)) + _chains(audit)),
        section("Customers whose images were re-encoded", plot(benign_plot(audit)) + _benign(audit) + _hurt(audit)),
        section("Scores", plot(score_plot(Artefacts(shown.inside, _all(shown), 0.0))) + note(_SCORES)),
        section("Near and far from what the model was made for", plot(far) + _distances(audit)) if far else "",
        section("The classes that are seen least", "".join(map(_worst, audit.pools))) if _has_classes(audit) else "",
        section(
            "Where it errs",
            strip("Out images that pass, the surest first", shown.missed, good=False)
            + strip("Customers' images that are flagged, the surest first", shown.hurt, good=False),
        )
        if shown.missed or shown.hurt
        else "",
        section("What this does not show", items(LIMITS)),
    ]
    created = audit.created[:16].replace("T", " ")
    return document(
        title=headline(audit),
        kicker=f"knockguard audit of {audit.bundle} · {created} UTC",
        tiles=_tiles(audit),
        sections=sections,
    )


_SCORES = "The deciding detector's score less its threshold, after the matched chain, of all pools together; above 0 is flagged."


def _tiles(audit: Audit) -> str:
    tiles = []
    for pool in audit.pools[:2]:
        found, low = pool.matched[audit.detector].tpr, pool.low_level.tpr
        kind = "safe" if judged(pool, audit) == "YES" else "harm"
        tiles.append((kind, share(found.value), f"of {pool.name} flagged", f"{share(low.value)} by low-level statistics"))
    sent = audit.benign["as sent"]
    target = f"target at most {100 * audit.target_fpr:g} %"
    tiles.append(("harm" if sent.low > audit.target_fpr else "safe", share(sent.value), "of customers' images flagged", target))
    name, worst = max(audit.benign.items(), key=lambda item: item[1].value)
    tiles.append(("harm" if benign_hurt(audit) else "", share(worst.value), "after the worst re-encoding", name))
    return tile_row(tiles)


def _pools(audit: Audit) -> str:
    head = ("pool", "detector", "out / in", "TPR (95 %)", "TNR (95 %)", "AUROC (95 %)", "FPR@95 (95 %)")
    matched, plain = [], []
    for pool in audit.pools:
        matched += [_row(pool, name, m) for name, m in [*pool.matched.items(), (LOW_LEVEL, pool.low_level)]]
        plain += [_row(pool, name, m) for name, m in [*pool.unmatched.items(), (LOW_LEVEL, pool.low_level_unmatched)]]
    decides = [row[1] == audit.detector for row in matched]
    folded = fold("The same images as they come, resized only", table(head, plain, strong=decides))
    return table(head, matched, strong=decides) + folded


def _row(pool: PoolAudit, name: str, m: Measure) -> tuple[str, ...]:
    def of_draws(value: float, interval: tuple[float, float]) -> str:
        return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"

    return (
        pool.name, name, f"{count(m.tpr.n)} / {count(m.fpr.n)}", _share(m.tpr), _share(m.tnr),
        of_draws(m.auroc, m.auroc_interval), of_draws(m.fpr_at_95, m.fpr_at_95_interval),
    )  # fmt: skip


def _share(found: Rate) -> str:
    return f"{share(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _about(audit: Audit) -> str:
    text = (
        f"{count(audit.n_in)} in images, seed {audit.seed}. TPR: out flagged of all out; TNR: in let through of all in, both at "
        "the bundle's threshold (FPR = 1 - TNR); FPR@95: in flagged where 95 % of out is; 95 % intervals. "
        "Matched: both sides were reduced and compressed alike before they were scored."
    )
    return f"{text} {_SYNTHETIC}" if any(pool.synthetic for pool in audit.pools) else text


def _chains(audit: Audit) -> str:
    return fold("The matched chain of each pool", items([f"{pool.name}: {chosen(pool)}" for pool in audit.pools]))


def _benign(audit: Audit) -> str:
    limit = 2 * audit.target_fpr
    return table(
        ("re-encoding", "flagged, FPR (95 %)"), [(name, _rate(r)) for name, r in audit.benign.items()],
        harm=[r.low > limit for r in audit.benign.values()],
    )  # fmt: skip


def _hurt(audit: Audit) -> str:
    body = [(name, _rate(r)) for name, r in audit.worst_in_classes]
    return table(("class of the in images, as they are sent", "flagged, FPR (95 %)"), body) if body else ""


def _distances(audit: Audit) -> str:
    body = [
        (pool.name, f"{part.low:.2f} to {part.high:.2f}", _rate(part.flagged)) for pool in audit.pools for part in pool.distances
    ]
    return fold("The fifths in figures", table(("pool", "distance of this fifth", "flagged"), body)) + note(
        "Distance to the nearest class mean in the model's last stage, each feature divided by its deviation within classes, in "
        "medians of the in images' own. What lies near is hardest to tell apart."
    )


def _worst(pool: PoolAudit) -> str:
    body = [(name, _rate(r)) for name, r in pool.worst_classes]
    return table((f"class of {pool.name}", "flagged"), body) if body else ""


def _has_classes(audit: Audit) -> bool:
    return any(pool.worst_classes for pool in audit.pools)


def _all(shown: Shown) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.concatenate([np.empty(0, np.float32), *shown.outside])


def _rate(found: Rate) -> str:
    return rate(found.value, (found.low, found.high), found.n)
