"""The metrics of several workers as those of one gateway."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]  # a sample's name and its labels

# What several gauges of one name and labels come to; the largest where nothing is said, as for those that are always equal.
GAUGES: Mapping[str, Callable[[Iterable[float]], float]] = {
    "knockguard_queued_rows": sum,
    "knockguard_audit_queued_rows": sum,
    "knockguard_model_ready": min,
    "knockguard_threshold": max,
    "knockguard_target_fpr": max,
    "knockguard_calibrated_share": max,
    "knockguard_quota_used_ratio": max,
    "knockguard_build_info": max,
    "knockguard_bundle_info": max,
    "knockguard_breaker_state": max,  # each state that some worker's breaker is in
    "knockguard_score_psi": max,
    "knockguard_score_psi_noise": max,
    "knockguard_score_gap": max,
    "knockguard_score_gap_critical": max,
    "knockguard_score_recent_rows": sum,
}
_CREATED = "_created"
_OF_LIVE_BUNDLES = ("knockguard_score",)  # leaves with its bundle, and its edges are the bundle's


@dataclass(slots=True)
class Family:
    """One metric of one worker: its type, its help, its samples."""

    kind: str
    about: str
    samples: dict[Key, float] = field(default_factory=dict)


Families = dict[str, Family]


def read(text: str) -> Families:
    """Return what one worker's exposition says."""
    families = {}
    for metric in text_string_to_metric_families(text):
        samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in metric.samples}
        families[metric.name] = Family(metric.type, metric.documentation, samples)
    return families


def counted(families: Families) -> Families:
    """Return what stays true when its worker has ended: what was counted."""
    return {name: family for name, family in families.items() if family.kind in ("counter", "histogram")}


def merge(live: Sequence[Families], ended: Sequence[Families] = ()) -> Families:
    """Return the families of all: counts are sums, those of workers that have ended included; gauges come to what GAUGES says."""
    merged = {}
    for name in dict.fromkeys(name for families in (*live, *ended) for name in families):
        present = [families[name] for families in live if name in families]
        past = [families[name] for families in ended if name in families]
        first = (present or past)[0]
        if first.kind == "histogram":
            samples = _histograms(present, past, only_live=name in _OF_LIVE_BUNDLES)
        elif first.kind == "counter":
            samples = _together([f.samples for f in (*present, *past)], sum)
        else:
            samples = _together([f.samples for f in present], min if name.endswith(_CREATED) else GAUGES.get(name, max))
        merged[name] = Family(first.kind, first.about, samples)
    return merged


def metrics_of(families: Families) -> Iterator[Metric]:
    """Yield families as a collector does."""
    for name, family in families.items():
        metric = Metric(name, family.about, family.kind)
        for (sample, labels), value in family.samples.items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


def _together(parts: Sequence[Mapping[Key, float]], how: Callable[[Iterable[float]], float]) -> dict[Key, float]:
    values: dict[Key, list[float]] = defaultdict(list)
    for samples in parts:
        for key, value in samples.items():
            values[key].append(value)
    return {key: how(found) for key, found in values.items()}


def _histograms(present: Sequence[Family], past: Sequence[Family], *, only_live: bool) -> dict[Key, float]:
    """Return the sums of those histograms that have the edges of the first with the same labels.

    Others are of a bundle that is about to be replaced, or was: added up, they would be of neither.
    """
    chosen: dict[Labels, dict[Key, float]] = {}
    for index, family in enumerate((*present, *past)):
        for labels, samples in _by_labels(family).items():
            sums = chosen.get(labels)
            if sums is None and not (only_live and index >= len(present)):
                chosen[labels] = dict(samples)
            elif sums is not None and sums.keys() == samples.keys():
                for key, value in samples.items():
                    sums[key] += value
    return {key: value for sums in chosen.values() for key, value in sums.items()}


def _by_labels(family: Family) -> dict[Labels, dict[Key, float]]:
    parts: dict[Labels, dict[Key, float]] = defaultdict(dict)
    for (name, labels), value in family.samples.items():
        parts[tuple(label for label in labels if label[0] != "le")][name, labels] = value
    return parts
