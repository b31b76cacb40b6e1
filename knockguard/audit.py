"""`knockguard audit`: what a bundle's detectors see on your own images, and how much of it is more than file format."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evaluation.artefacts import Example
from evaluation.audit_document import document
from evaluation.audit_page import write_page
from evaluation.audit_results import Audit, DistanceBin, PoolAudit, Shown
from evaluation.audit_words import markdown, passed, table, verdict
from evaluation.baseline import FEWEST, Traces
from evaluation.detection import Measure, measure
from evaluation.distance import by_distance, distances
from evaluation.groups import Groups
from evaluation.matching import N_MATCH, Matching, Search
from guard.benign import BENIGN, benign
from guard.bundle import Bundle, load_bundle
from guard.errors import ConfigError
from guard.preprocess import image_size
from guard.rate import Rate
from guard.types import Floats, Ints, Pixels, Reporter
from guard.whole import write_whole
from knockguard.audit_scoring import Scored, Scorer, zero
from knockguard.audit_sources import ALL, Sources, pool_names
from knockguard.console import Stages, note, out
from knockguard.matching import choose, resized, through
from knockguard.pools import Pool, Source
from knockguard.synthetic_pool import Synthetic

RESULT, WORDS, PAGE = "audit.json", "audit.md", "audit.html"
_MIN_OF_CLASS = 5
_N_EXAMPLES = 12
_N_CLASSES = 10


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


def audit_files(options: AuditOptions, *, as_json: bool) -> bool:
    """Audit a bundle, write audit.json, audit.md and audit.html, print the table and the verdict; False if that is a NO."""
    if (options.out / RESULT).exists() and not options.force:
        raise ConfigError(f"{options.out / RESULT} exists; give another --out, or --force to replace it")
    names = pool_names(options.pools)
    bundle = load_bundle(options.bundle)
    stages = Stages(n_stages=3 + 2 * len(options.pools))
    with stages.stage("looking through all images"):  # what is missing or broken is told before anything takes long
        sources = Sources(bundle, options.bundle, limit=options.limit, seed=options.seed)
        inside = sources.look(options.inside)
        outside = [sources.out_pool(path, inside) for path in options.pools]
    with stages.stage("reading in images") as progress:
        auditor = _Auditor(bundle, inside, options, progress)
    pools = []
    for name, source in zip(names, outside, strict=True):
        with stages.stage(f"choosing the matched chain for {name}") as progress:
            compared = auditor.compared(name, source, progress)
        note(f"{name}: both sides are {compared.matching.describe()}")
        with stages.stage(f"measuring on {name}") as progress:
            pools.append(auditor.pool(compared, progress))
    with stages.stage("re-encoding in images") as progress:
        audit, shown = auditor.audit(tuple(pools), sources, progress)
    write_whole(options.out / RESULT, (json.dumps(document(audit), indent=2) + "\n").encode())
    write_whole(options.out / WORDS, markdown(audit).encode())
    write_page(audit, shown, options.out / PAGE)
    if as_json:
        out.print_json(json.dumps(document(audit)))
    else:
        out.print(table(audit))
        for sentence in verdict(audit):
            out.print(sentence, highlight=False, markup=False)
    note(f"wrote {options.out / RESULT} and {options.out / WORDS}; look at {options.out / PAGE} (opens in any browser, offline)")
    return passed(audit)


@dataclass(frozen=True, slots=True)
class _Compared:
    """An out pool beside the in images: the first `most` of in and of out chose the chain, and only the others are measured."""

    name: str
    source: Source
    matching: Matching
    most: tuple[int, int]


class _Auditor:
    """The in images, read once, and what was found on the way that the page shows."""

    def __init__(self, bundle: Bundle, inside: Pool, options: AuditOptions, progress: Reporter) -> None:
        self._bundle, self._inside, self._options = bundle, inside, options
        self._score = Scorer(bundle)
        self._size = image_size(bundle.manifest.input)
        self._detector = bundle.manifest.detector
        self._target_fpr = next(d.threshold.target_fpr for d in bundle.manifest.detectors if d.name == self._detector)
        self._in_matched: list[Floats] = []
        self._outside: list[Floats] = []
        self._missed: list[tuple[float, Example]] = []
        self._plain = resized(self._inside, self._size, progress=progress)[ALL]
        self._in_plain = self._score(self._plain)

    def compared(self, name: str, source: Source, progress: Reporter) -> _Compared:
        """Choose the chain for an out pool, by a third of the images: what chooses must not be what is measured."""
        n_in, n_out = (min(N_MATCH, max(FEWEST, each.counts()[ALL] // 3)) for each in (self._inside, source))
        search = Search(self._size, target_fpr=self._target_fpr, seed=self._options.seed)
        return _Compared(
            name,
            source,
            choose(self._inside, source, ALL, (n_in, n_out), search=search, progress=progress),
            (n_in, n_out),
        )

    def pool(self, compared: _Compared, progress: Reporter) -> PoolAudit:
        """Measure on one out pool."""
        seed, source, matching, (first_in, first) = self._options.seed, compared.source, compared.matching, compared.most
        n_in, n = len(self._plain), source.counts()[ALL]
        ins, _ = through(matching, self._inside, {ALL: seed}, progress=lambda done, _: progress(done, n_in + n))
        outs, plain = through(
            matching, source, {ALL: seed + 1}, plain=(ALL,), progress=lambda done, _: progress(n_in + done, n_in + n)
        )
        inside, outside, out_plain = ins[ALL][first_in:], outs[ALL][first:], plain[ALL][first:]
        labels = source.labels[ALL][first:]
        in_scored, out_scored = self._score(inside), self._score(outside)
        groups = Groups(outside=_classes(labels))
        matched = self._measures(in_scored, out_scored, groups)
        unmatched = self._measures(self._in_plain.after(first_in), self._score(out_plain), groups)
        excess = out_scored.excess[self._detector]
        self._in_matched.append(in_scored.excess[self._detector])
        self._outside.append(excess)
        self._miss(outside, excess, labels, compared.name)
        return PoolAudit(
            name=compared.name,
            synthetic=isinstance(source, Synthetic),
            n=len(outside),
            n_chose=compared.most,
            side=matching.chain.side,
            chain=matching.describe(),
            unmatched=unmatched,
            matched=matched,
            low_level_unmatched=self._beside(unmatched, self._plain[first_in:], out_plain, groups),
            low_level=self._beside(matched, inside, outside, groups),
            worst_classes=_by_class(excess, labels)[:_N_CLASSES],
            distances=_distances(in_scored, out_scored, excess),
        )

    def audit(self, pools: tuple[PoolAudit, ...], sources: Sources, progress: Reporter) -> tuple[Audit, Shown]:
        """Re-encode the in images, and put everything together."""
        rates = {}
        for done, name in enumerate(BENIGN, 1):
            rates[name] = Rate.of(_flagged(self._score(benign(name, self._plain)).excess[self._detector]))
            progress(done, len(BENIGN))
        created = datetime.now(UTC).isoformat(timespec="seconds")
        found = Audit(
            bundle=str(self._options.bundle),
            detector=self._detector,
            target_fpr=self._target_fpr,
            n_in=len(self._plain),
            pools=pools,
            benign=rates,
            worst_in_classes=_by_class(self._in_plain.excess[self._detector], self._inside.labels[ALL])[::-1][:_N_CLASSES],
            seed=self._options.seed,
            created=created,
            left_out=sources.left_out,
            n_logged=sources.n_logged,
        )
        missed = tuple(example for _, example in sorted(self._missed, key=lambda item: item[0])[:_N_EXAMPLES])
        return found, Shown(np.concatenate(self._in_matched), tuple(self._outside), missed, self._hurt())

    def _measures(self, inside: Scored, outside: Scored, groups: Groups) -> dict[str, Measure]:
        seed = self._options.seed
        return {
            d.name: measure(inside.excess[d.name], outside.excess[d.name], zero(d.threshold), seed=seed, groups=groups)
            for d in self._bundle.manifest.detectors
        }

    def _beside(self, measures: dict[str, Measure], inside: Pixels, outside: Pixels, groups: Groups) -> Measure:
        """Return the baseline where it flags as many in images as the detector that decides."""
        seed = self._options.seed
        return Traces.of(inside, outside, seed=seed, groups=groups).measure(measures[self._detector].fpr.value, seed=seed)

    def _miss(self, pixels: Pixels, excess: Floats, labels: tuple[str | None, ...], pool: str) -> None:
        for i in np.argsort(excess, kind="stable")[:_N_EXAMPLES]:
            if not _flagged(excess[i : i + 1])[0]:
                self._missed.append((float(excess[i]), Example(pixels[i], labels[i] or pool, attack=True, flagged=False)))

    def _hurt(self) -> tuple[Example, ...]:
        excess, names = self._in_plain.excess[self._detector], self._bundle.manifest.labels
        worst = [i for i in np.argsort(-excess, kind="stable")[:_N_EXAMPLES] if _flagged(excess[i : i + 1])[0]]
        return tuple(
            Example(self._plain[i], f"taken for {names[self._in_plain.top[i]]}", attack=False, flagged=True) for i in worst
        )


def _flagged(excess: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(~(excess <= 0))  # as a threshold flags: what is not a number is


def _classes(labels: tuple[str | None, ...]) -> Ints | None:
    """Return the number of each out image's class, since another pool has other classes; None where some are not known."""
    if None in labels:
        return None
    found: Ints = np.unique(np.array(labels), return_inverse=True)[1].astype(np.int64)
    return found if found.any() else None  # one class for all tells nothing


def _by_class(excess: Floats, classes: tuple[str | None, ...]) -> tuple[tuple[str, Rate], ...]:
    """Return the share flagged of each class that the source names, the least flagged first."""
    flags, names = _flagged(excess), np.array([c or "" for c in classes])
    rates = [(str(c), Rate.of(flags[names == c])) for c in np.unique(names) if c and (names == c).sum() >= _MIN_OF_CLASS]
    return tuple(sorted(rates, key=lambda item: item[1].value))


def _distances(inside: Scored, outside: Scored, excess: Floats) -> tuple[DistanceBin, ...]:
    if inside.features is None or outside.features is None:
        return ()
    _, far = distances(inside.features, inside.top, outside.features)
    return by_distance(far, _flagged(excess))
