"""The words of a report: every sentence is made from the figures, and says n."""

from evaluation.results import DetectorResult, PolicyResult, Results
from guard.rate import Rate

LEAK = 0.15  # a recovery that grows by more than this with the budget is told
HARDLY = 0.9  # a defence that leaves more than this share of the undefended recovery hardly protects
WEAK = 0.5  # an undefended net recovery below this is no attack to judge a defence by


def share(value: float, *, digits: int = 1) -> str:
    """Return 0.0123 as "1.2 %"."""
    return f"{100 * value:.{digits}f} %"


def ratio(value: float) -> str:
    """Return a recovery as it is printed everywhere: "0.75x"."""
    return f"{value:.2f}x"


def count(value: int) -> str:
    """Return 4000 as "4,000"."""
    return f"{value:,}"


def share_of(part: int, whole: int) -> str:
    """Return "1.0 % of 812", or "- of 0" where there is nothing to take a share of."""
    return f"{share(part / whole)} of {count(whole)}" if whole else "- of 0"


def rate(value: float, interval: tuple[float, float], n: int, groups: int | None = None) -> str:
    """Return a share with its 95 % interval and n, and of how many pictures or places those n are parts."""
    parts = "" if groups is None else f" in {count(groups)} groups"
    return f"{share(value)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f}; n = {count(n)}{parts})"


def flagged_out(d: DetectorResult) -> str:
    """Return a detector's true-positive rate in full."""
    return rate(d.tpr, d.tpr_interval, d.n_out, d.out_groups)


def flagged_in(d: DetectorResult) -> str:
    """Return a detector's false-positive rate in full."""
    return rate(d.fpr, d.fpr_interval, d.n_in, d.in_groups)


def spread(policy: PolicyResult) -> str:
    """Return "0.25x to 0.56x (3 copies)", or nothing where one copy was trained."""
    copies = policy.copies
    return f"{ratio(min(copies))} to {ratio(max(copies))} ({len(copies)} copies)" if len(copies) > 1 else ""


def certainty(results: Results) -> str:
    """Return, in a sentence, the intervals that the test images allow; nothing where a run has none."""
    victim = results.victim
    if victim.interval is None:
        return ""
    where = f"{count(victim.n_test)} test images" + (f" in {count(victim.groups)} groups" if victim.groups else "")
    parts = [f"victim {victim.interval[0]:.3f} to {victim.interval[1]:.3f}"]
    for p in results.policies:
        told = []
        if p.recovery_interval:
            told.append(f"recovery {ratio(p.recovery_interval[0])} to {ratio(p.recovery_interval[1])}")
        if p.benign_interval:
            told.append(f"customers' accuracy {p.benign_interval[0]:.3f} to {p.benign_interval[1]:.3f}")
        parts += [f"behind {p.policy} {', '.join(told)}"] if told else []
    return f"95 % intervals, over {where}: {'; '.join(parts)}."


def chance_recovery(results: Results) -> float:
    """Return the recovery of a copy that learned nothing: chance over the victim's accuracy."""
    return results.victim.chance / results.victim.accuracy if results.victim.accuracy else 0.0


def headline(results: Results) -> str:
    """Return the run in one or two sentences, from the run without a defence and the defence that left the copier least."""
    open_, defended = results.undefended, results.strongest
    parts = []
    if open_ is not None:
        parts.append(f"Undefended, a copier with {count(open_.queries)} queries recovers {ratio(open_.recovery)} of the victim")
    if defended is not None:
        lead = "behind" if parts else f"With {count(defended.queries)} queries, a copier behind"
        parts.append(f"{lead} {defended.policy} {ratio(defended.recovery)}")
    shown = defended or open_ or results.policies[0]
    benign = f"{share_of(shown.benign_flagged, shown.benign_n)} benign queries are flagged." if shown.benign_n else ""
    return f"{'; '.join(parts)}. {benign}".strip()


def findings(results: Results) -> list[str]:
    """Return what a reader should take away, the unwelcome included."""
    found = _detection(results.detector, results.baseline)
    found += [_policy(p, results) for p in results.policies if p is not results.undefended]
    found += [f"One copy's luck: behind {p.policy} they came to {spread(p)}." for p in results.policies if spread(p)]
    floor = chance_recovery(results)
    found.append(
        f"A copy that learned nothing stands at {ratio(floor)}: {results.victim.chance:.2f} chance over the victim's "
        f"{results.victim.accuracy:.2f}. Net recovery takes chance from both."
    )
    return found


def cautions(results: Results) -> list[str]:
    """Return what would make a careful reader doubt this run; best when empty."""
    found = []
    detector, baseline, open_ = results.detector, results.baseline, results.undefended
    if detector and baseline and detector.tpr_interval[0] <= baseline.tpr_interval[1]:
        found.append(
            f"The {detector.name} detector flags {share(detector.tpr)} of out images, and statistics that know nothing of "
            f"content {share(baseline.tpr)}: most of this detection may be file format or texture, "
            "which an adversary changes at no cost."
        )
    if open_ is None:
        found.append("No undefended attack was run, so nothing shows that the attack is strong enough to judge a defence by.")
    elif open_.net_recovery is not None and open_.net_recovery < WEAK:
        found.append(
            f"Undefended, the attack has a net recovery of {ratio(open_.net_recovery)} only: too weak to judge a defence by. "
            "Give it more queries, a better pool or more epochs."
        )
    if detector and baseline and baseline.tpr_interval[0] > baseline.fpr_interval[1]:
        found.append(
            f"In and out images are not matched: statistics that know nothing of content flag {share(baseline.tpr)} of out and "
            f"{share(baseline.fpr)} of in images. An adversary who blurs or re-encodes could take that part away."
        )
    found += [_leak(p) for p in results.policies if p is not open_ and _largest(p)[1] - p.recovery > LEAK]
    limit = detector.target_fpr if detector else 1.0
    over = [p for p in results.policies if Rate(p.benign_flagged, p.benign_n).low > limit]
    if over:
        worst = max(over, key=lambda p: p.benign_flagged / p.benign_n)
        found.append(
            f"{share_of(worst.benign_flagged, worst.benign_n)} benign queries were flagged where at most "
            f"{share(limit)} were to be: these customers' images are not like those that calibrated the threshold."
        )
    return found


def _largest(policy: PolicyResult) -> tuple[int, float]:
    """Return the largest budget that was tried and the recovery there."""
    return max(policy.budget_curve, default=(policy.queries, policy.recovery))


def _leak(policy: PolicyResult) -> str:
    queries, recovered = _largest(policy)
    return (
        f"{policy.policy} holds the copier at {ratio(policy.recovery)} for {count(policy.queries)} queries, and no longer: with "
        f"{count(queries)} the copy is back at {ratio(recovered)}, since it learns from the queries that pass unflagged. "
        "Limit what one client may ask, or flag more."
    )


def _detection(detector: DetectorResult | None, baseline: DetectorResult | None) -> list[str]:
    if detector is None:
        return []
    told = f"The {detector.name} detector flags {flagged_out(detector)} of out images at {flagged_in(detector)} of in images"
    if baseline is None:
        return [f"{told}."]
    return [
        f"{told}; statistics that know nothing of content flag {share(baseline.tpr)} at {share(baseline.fpr)}. "
        f"Content earns the margin: {100 * (detector.tpr - baseline.tpr):.0f} in 100."
    ]


def _policy(policy: PolicyResult, results: Results) -> str:
    cost = "what it does to benign clients was not measured"
    if policy.benign_accuracy is not None:
        cost = f"benign accuracy is {policy.benign_accuracy:.3f}, {results.victim.accuracy:.3f} without a guard"
    open_ = results.undefended
    if open_ is None or not open_.recovery:
        return f"{policy.policy} leaves the copier {ratio(policy.recovery)}; {cost}."
    kept = policy.recovery / open_.recovery
    if kept > HARDLY:
        return (
            f"{policy.policy} hardly protects here: the copier keeps {ratio(policy.recovery)} of {ratio(open_.recovery)}; {cost}."
        )
    return f"{policy.policy} takes {share(1 - kept, digits=0)} of what the copier had; {cost}."
