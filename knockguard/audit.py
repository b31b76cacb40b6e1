"""`knockguard audit`: what a bundle's detectors see on your own images, and how much of it is more than file format."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from evaluation.detection import Measure, low_level_measure, measure
from exporters.runtime import run
from guard.benign import BENIGN, benign
from guard.bundle import Bundle, load_bundle
from guard.chain import Chain, matched_chain
from guard.errors import ConfigError, InvalidInputError
from guard.images import Encoded, decode, read
from guard.preprocess import framed, image_size, to_inputs
from guard.rate import Rate
from guard.types import Floats, Pixels, Reporter
from guard.whole import write_whole
from knockguard.audit_words import markdown, table, verdict
from knockguard.console import Stages, note, out

RESULT, PAGE = "audit.json", "audit.md"
_MIN_IMAGES = 20
_MIN_OF_CLASS = 5


@dataclass(frozen=True, slots=True)
class PoolAudit:
    """One out pool: each detector as images come (resized only) and after the matched chain, beside the low-level baseline."""

    name: str
    n: int
    side: int  # of the matched chain
    unmatched: dict[str, Measure]
    matched: dict[str, Measure]
    low_level_unmatched: Measure
    low_level: Measure
    worst_classes: tuple[tuple[str, Rate], ...]  # by TPR of the deciding detector, matched


@dataclass(frozen=True, slots=True)
class Audit:
    """A whole audit. `benign` holds the deciding detector's false-positive rate for each re-encoding of the in images."""

    bundle: str
    detector: str
    target_fpr: float
    n_in: int
    pools: tuple[PoolAudit, ...]
    benign: dict[str, Rate]
    seed: int


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What `knockguard audit` was asked for; see its help."""

    bundle: Path
    inside: Path
    pools: tuple[Path, ...]
    out: Path
    limit: int
    seed: int
    force: bool


def audit_files(options: AuditOptions, *, as_json: bool) -> None:
    """Audit a bundle, write audit.json and audit.md, print the table and the verdict."""
    if (options.out / RESULT).exists() and not options.force:
        raise ConfigError(f"{options.out / RESULT} exists; give another --out, or --force to replace it")
    bundle = load_bundle(options.bundle)
    stages = Stages(n_stages=2 + len(options.pools))
    with stages.stage("reading in images") as progress:
        inside = _read(options.inside, options, progress)
    audited = []
    for source in options.pools:
        with stages.stage(f"measuring on {source.name}") as progress:
            audited.append(_pool(bundle, inside, source, options, progress))
    with stages.stage("re-encoding in images") as progress:
        rates = _benign(bundle, inside, progress)
    manifest = bundle.manifest
    target = next(d.threshold.target_fpr for d in manifest.detectors if d.name == manifest.detector)
    audit = Audit(str(options.bundle), manifest.detector, target, len(inside.images), tuple(audited), rates, options.seed)
    write_whole(options.out / RESULT, (json.dumps(asdict(audit), indent=2) + "\n").encode())
    write_whole(options.out / PAGE, markdown(audit).encode())
    if as_json:
        out.print_json(json.dumps(asdict(audit)))
    else:
        out.print(table(audit))
        for sentence in verdict(audit):
            out.print(sentence, highlight=False, markup=False)
    note(f"wrote {options.out / RESULT} and {options.out / PAGE}")


@dataclass(frozen=True, slots=True)
class _Set:
    images: list[Pixels]
    classes: list[str | None]


def _read(source: Path, options: AuditOptions, progress: Reporter) -> _Set:
    """Return at most `limit` images drawn with the seed."""
    items: list[Encoded] = list(read(source))
    if len(items) < _MIN_IMAGES:
        raise InvalidInputError(f"{source} holds {len(items)} images; an audit needs at least {_MIN_IMAGES}")
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(items))[: options.limit])
    images = []
    for done, i in enumerate(chosen, 1):
        images.append(decode(items[i].content, name=items[i].name))
        progress(done, len(chosen))
    return _Set(images, [items[i].label for i in chosen])


def _plain(images: list[Pixels], size: tuple[int, int]) -> Pixels:
    return np.stack([framed(image, size) for image in images])


def _scores(bundle: Bundle, pixels: Pixels) -> dict[str, Floats]:
    """Return each detector's scores, from the fused graph that is served."""
    scores = run(bundle.model, to_inputs(pixels, bundle.manifest.input), outputs=("scores",))["scores"]
    return {d.name: scores[:, i] for i, d in enumerate(bundle.manifest.detectors)}


def _pool(bundle: Bundle, inside: _Set, source: Path, options: AuditOptions, progress: Reporter) -> PoolAudit:
    outside = _read(source, options, progress)
    size = image_size(bundle.manifest.input)
    chain: Chain = matched_chain(inside.images, outside.images, size=size)
    matched = chain.apply(inside.images, seed=options.seed), chain.apply(outside.images, seed=options.seed + 1)
    plain = _plain(inside.images, size), _plain(outside.images, size)
    target = bundle.manifest.detectors[0].threshold.target_fpr
    scores = _scores(bundle, matched[1])
    return PoolAudit(
        name=source.name,
        n=len(outside.images),
        side=chain.side,
        unmatched=_measures(bundle, _scores(bundle, plain[0]), _scores(bundle, plain[1]), seed=options.seed),
        matched=_measures(bundle, _scores(bundle, matched[0]), scores, seed=options.seed),
        low_level_unmatched=low_level_measure(*plain, target_fpr=target, seed=options.seed),
        low_level=low_level_measure(*matched, target_fpr=target, seed=options.seed),
        worst_classes=_worst(bundle, scores[bundle.manifest.detector], outside.classes),
    )


def _measures(bundle: Bundle, inside: Mapping[str, Floats], outside: Mapping[str, Floats], *, seed: int) -> dict[str, Measure]:
    return {d.name: measure(inside[d.name], outside[d.name], d.threshold, seed=seed) for d in bundle.manifest.detectors}


def _worst(bundle: Bundle, scores: Floats, classes: list[str | None]) -> tuple[tuple[str, Rate], ...]:
    manifest = bundle.manifest
    flags = next(d.threshold for d in manifest.detectors if d.name == manifest.detector).flags(scores)
    names = np.array([c or "" for c in classes])
    rates = [(str(c), Rate.of(flags[names == c])) for c in np.unique(names) if c and (names == c).sum() >= _MIN_OF_CLASS]
    return tuple(sorted(rates, key=lambda item: item[1].value)[:10])


def _benign(bundle: Bundle, inside: _Set, progress: Reporter) -> dict[str, Rate]:
    """Return the deciding detector's false-positive rate for each re-encoding."""
    manifest = bundle.manifest
    threshold = next(d.threshold for d in manifest.detectors if d.name == manifest.detector)
    images = _plain(inside.images, image_size(manifest.input))
    rates = {}
    for done, name in enumerate(BENIGN, 1):
        rates[name] = Rate.of(threshold.flags(_scores(bundle, benign(name, images))[manifest.detector]))
        progress(done, len(BENIGN))
    return rates
