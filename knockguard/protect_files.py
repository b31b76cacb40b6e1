"""`knockguard protect`: files in, bundle out, and a table of what the detectors can do."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto
from rich.table import Table

from evaluation.matching import N_MATCH, Search
from exporters.graph import input_of, load_graph
from exporters.parity import distance_to_passed_over
from exporters.taps import Taps, find_taps
from guard.bundle import MANIFEST, InputSpec, check_place
from guard.detectors.registry import DETECTORS
from guard.errors import ConfigError, GraphError
from guard.preprocess import image_size
from guard.registry import nearest
from guard.seen import Seen
from knockguard.baseline import Baseline, measure_baseline
from knockguard.console import Stages, note, out, warn
from knockguard.enough import check_enough
from knockguard.matching import choose, into_material
from knockguard.networks import check_networks
from knockguard.overlapping import Compared, overlapping
from knockguard.pools import IN_SPLIT, OUT_SPLIT, Pool, Reading, Source, check_apart, look_through
from knockguard.protect import DEFAULT_DETECTORS, Plan, Protected, protect
from knockguard.protect_words import input_shape, overrides, settings
from knockguard.synthetic_pool import Synthetic, is_synthetic

SCALES: dict[str, tuple[float, tuple[float, ...], tuple[float, ...]]] = {
    "unit": (1 / 255, (0.0,), (1.0,)),
    "raw": (1.0, (0.0,), (1.0,)),
    "imagenet": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
TOO_CONFIDENT = 0.99
_RGB = 3  # channels of every image that is read


@dataclass(frozen=True, slots=True)
class ProtectOptions:
    """What `knockguard protect` was asked for; see its help."""

    model: Path
    inside: Path
    out_pool: Path
    out: Path
    detector: str
    target_fpr: float
    name: str
    version: str
    labels: Path | None
    class_map: Path | None
    wordnet: Path | None
    wordnet_kinds: bool
    scale: str
    input_shape: str | None
    stages: tuple[str, ...]
    settings: tuple[str, ...]
    per_class: bool
    forget_images: bool
    limit: int
    seed: int
    force: bool


def protect_files(options: ProtectOptions, *, as_json: bool) -> None:
    """Make the bundle and print what it can do. Everything that can be refused is refused before long work starts."""
    check_place(options.out, force=options.force)
    victim = load_graph(options.model, flat=input_shape(options.input_shape))
    spec = _input_spec(victim, options.scale)
    taps = find_taps(victim, override=overrides(options.stages))
    plan = Plan(
        spec=spec,
        name=options.name,
        labels=_labels(options.labels, taps.n_classes),
        detectors=_detectors(options.detector, taps),
        target_fpr=options.target_fpr,
        version=options.version,
        options=settings(options.settings),
        per_class=options.per_class,
    )
    check_networks(plan.built().values())
    compared = Compared.read(options.class_map, options.wordnet, kinds=options.wordnet_kinds)
    for row in taps.describe():
        note(row)

    stages = Stages(n_stages=5)
    size = image_size(spec)
    reading = Reading(options.limit, options.seed)
    with stages.stage("looking through in images"):
        inside = look_through(options.inside, IN_SPLIT, reading)
        check_enough(
            inside,
            target_fpr=plan.target_fpr,
            confidence=plan.confidence,
            limit=options.limit,
            n_classes=taps.n_classes if options.per_class else None,
        )
    with stages.stage("looking through the out pool"):
        outside = _out_pool(inside, options)
    if not outside.by_class:
        warn("the out pool has no classes, so it is split by image; a test on classes that the detector has not seen says more")
    with stages.stage("choosing the matched chain") as progress:
        most = (min(N_MATCH, inside.counts()["fit"]), min(N_MATCH, outside.counts()["fit"]))
        search = Search(size, target_fpr=options.target_fpr, seed=options.seed)
        matching = choose(inside, outside, "fit", most, search=search, progress=progress)
    note(f"in and out are {matching.describe()}: {matching.left()}")
    with stages.stage("reading and matching both sides") as progress:
        material = into_material(matching, inside, outside, seed=options.seed, progress=progress)
    plan = replace(plan, overlap=overlapping(plan.built().values(), material, outside, compared))
    with stages.stage("fitting, fusing, calibrating, testing") as progress:
        material = replace(material, seen=None if options.forget_images else _seen(inside, outside))
        protected = protect(victim, taps, material, plan, original=options.model, progress=progress)
        baseline = measure_baseline(material, target_fpr=protected.measured[0].fpr.value)  # of the one that decides
        departure = distance_to_passed_over(options.model, taps, protected.model, material.shown(spec))
    protected.write(options.out, force=options.force)

    if departure != 0:
        what = "which has another number of classes" if departure is None else f"by up to {departure:.2g} of a probability"
        warn(
            f"the bundle answers with {taps.answer!r}, as you said, and not with the model's output {taps.passed_over!r}: its "
            f"answers differ from those of {options.model.name}, {what}"
        )
    if protected.top_probability > TOO_CONFIDENT:
        warn(
            f"the victim is {protected.top_probability:.1%} sure of these images on average: they look like its own training "
            "images. Use images that it has not seen, or thresholds on confidence will flag customers"
        )
    _print(protected, baseline, options, as_json=as_json)


def _seen(inside: Pool, outside: Source) -> Seen:
    digests = inside.digests("fit", "calibration")
    if isinstance(outside, Synthetic):
        return Seen.of(digests, kinds=outside.kinds["fit"])
    return Seen.of((*digests, *outside.digests("fit"))) if isinstance(outside, Pool) else Seen.of(digests)


def _out_pool(inside: Pool, options: ProtectOptions) -> Source:
    if not is_synthetic(options.out_pool):
        outside = look_through(options.out_pool, OUT_SPLIT, Reading(options.limit, options.seed))
        check_apart(inside, outside)
        return outside
    warn(
        "the out pool is synthetic: what it tests on are its own kinds, not what an adversary sends. Audit with public images: "
        "knockguard audit BUNDLE --pool DIR --pool synthetic"
    )
    return Synthetic.of(inside, n=sum(inside.counts().values()), seed=options.seed, split=True)


def _input_spec(victim: ModelProto, scale: str) -> InputSpec:
    if scale not in SCALES:
        raise ConfigError(f"--scale {scale!r} is not known{nearest(scale, SCALES)}")
    name, shape, layout = input_of(victim)
    if (channels := shape[2 if layout == "NHWC" else 0]) != _RGB:
        raise GraphError(
            f"the model's input {name!r} has {channels} channels, and images are fed as RGB; put the conversion in front of the "
            "model, as nodes of its graph"
        )
    factor, mean, std = SCALES[scale]
    return InputSpec(name=name, shape=shape, layout=layout, scale=factor, mean=mean, std=std)


def _detectors(first: str, taps: Taps) -> tuple[str, ...]:
    """Return the one that decides, then those of the default that this graph has the taps for."""
    found = {"logits": taps.logits, "penultimate": taps.penultimate, "stages": taps.stages}
    missing = {tap for tap, tensors in found.items() if not tensors}
    if unmet := sorted(missing.intersection(DETECTORS.get(first).taps)):
        example = "stage1=TENSOR" if unmet[0] == "stages" else f"{unmet[0]}=TENSOR"
        raise ConfigError(
            f"--detector {first}: the graph has no {', '.join(unmet)}; name tensors with --stage {example}, or choose msp"
        )
    others = [d for d in DEFAULT_DETECTORS if d != first and not missing.intersection(DETECTORS.get(d).taps)]
    return (first, *others)


def _labels(path: Path | None, n_classes: int) -> list[str]:
    if path is None:
        return [f"class_{i}" for i in range(n_classes)]
    try:
        labels = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read --labels {path}: {error}") from None
    labels = labels[:-1] if labels and not labels[-1] else labels
    if len(labels) != n_classes:
        raise ConfigError(f"--labels {path} has {len(labels)} lines and the model has {n_classes} classes; give one name a line")
    return labels


def _print(protected: Protected, baseline: Baseline, options: ProtectOptions, *, as_json: bool) -> None:
    rows = [(m.name, m.tpr, m.fpr, f"{m.threshold.value:.4g}") for m in protected.measured]
    rows.append(("low-level statistics", baseline.tpr, baseline.fpr, "-"))
    matched = protected.manifest.provenance.matched
    if as_json:
        document = {
            "bundle": str(options.out),
            "model": protected.manifest.name,
            "target_fpr": options.target_fpr,
            "matched": None if matched is None else matched.model_dump(mode="json"),
            "detectors": [{"name": n, "tpr": t.value, "n_out": t.n, "fpr": f.value, "n_in": f.n} for n, t, f, _ in rows],
        }
        out.print_json(json.dumps(document))
    else:
        table = Table(
            "detector", "TPR on unseen out", "FPR on unseen in", "threshold", title=f"{protected.manifest.name}: what is flagged"
        )
        for name, tpr, fpr, threshold in rows:
            table.add_row(name, str(tpr), str(fpr), threshold)
        out.print(table)
    first, low = protected.measured[0].tpr, baseline.tpr
    if first.low <= low.high:
        warn(
            f"{protected.measured[0].name} flags hardly more than statistics that know nothing of content ({first} against "
            f"{low}): most of what it sees may be file format, which an adversary changes at no cost"
        )
    note(f"wrote {options.out / MANIFEST}; it starts in observe, which changes no answer. Next: knockguard serve {options.out}")
