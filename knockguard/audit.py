"""`knockguard audit`: what a bundle's detectors see on your own images, and how much of it is more than file format."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evaluation.artefacts import Example
from evaluation.audit_page import write_page
from evaluation.audit_results import Audit, DistanceBin, PoolAudit, Shown
from evaluation.audit_words import markdown, table, verdict
from evaluation.baseline import Traces
from evaluation.detection import Measure, measure
from evaluation.distance import by_distance, distances
from guard.benign import BENIGN, benign
from guard.bundle import Bundle, load_bundle
from guard.chain import chain_for
from guard.errors import ConfigError, InvalidInputError
from guard.preprocess import image_size
from guard.rate import Rate
from guard.seen import NOTHING_SEEN, read_seen
from guard.types import Floats, Pixels, Reporter
from guard.whole import write_whole
from knockguard.audit_scoring import Scored, Scorer, zero
from knockguard.console import Stages, note, out
from knockguard.matching import resized, through
from knockguard.pools import WHOLE, Pool, Reading, Source, check_apart, look_through
from knockguard.synthetic_pool import Synthetic, is_synthetic

RESULT, WORDS, PAGE = "audit.json", "audit.md", "audit.html"
_MIN_IMAGES = 20
_MIN_OF_CLASS = 5
_N_EXAMPLES = 12
_N_CLASSES = 10
_ALL = "all"  # the one side of an audit's sources


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
    """Audit a bundle, write audit.json, audit.md and audit.html, print the table and the verdict."""
    if (options.out / RESULT).exists() and not options.force:
        raise ConfigError(f"{options.out / RESULT} exists; give another --out, or --force to replace it")
    bundle = load_bundle(options.bundle)
    stages = Stages(n_stages=2 + len(options.pools))
    with stages.stage("reading in images") as progress:
        auditor = _Auditor(bundle, options, progress)
    pools = []
    for source in options.pools:
        with stages.stage(f"measuring on {source.name}") as progress:
            pools.append(auditor.pool(source, progress))
    with stages.stage("re-encoding in images") as progress:
        audit, shown = auditor.audit(tuple(pools), progress)
    write_whole(options.out / RESULT, (json.dumps(asdict(audit), indent=2) + "\n").encode())
    write_whole(options.out / WORDS, markdown(audit).encode())
    write_page(audit, shown, options.out / PAGE)
    if as_json:
        out.print_json(json.dumps(asdict(audit)))
    else:
        out.print(table(audit))
        for sentence in verdict(audit):
            out.print(sentence, highlight=False, markup=False)
    note(f"wrote {options.out / RESULT} and {options.out / WORDS}; look at {options.out / PAGE} (opens in any browser, offline)")


class _Auditor:
    """The in images, read once, and what was found on the way that the page shows."""

    def __init__(self, bundle: Bundle, options: AuditOptions, progress: Reporter) -> None:
        """Read the in images; InvalidInputError if there are too few."""
        self._bundle, self._options = bundle, options
        self._seen = read_seen(options.bundle, bundle.manifest.provenance.seen)
        self._left_out: dict[str, str] = {}
        self._score = Scorer(bundle)
        self._size = image_size(bundle.manifest.input)
        self._detector = bundle.manifest.detector
        self._outside: list[Floats] = []
        self._missed: list[tuple[float, Example]] = []
        self._inside = self._look(options.inside)
        self._plain = resized(self._inside, self._size, progress=progress)[_ALL]
        self._in_plain = self._score(self._plain)
        self._in_matched = self._in_plain.excess[self._detector]

    def pool(self, path: Path, progress: Reporter) -> PoolAudit:
        """Measure on one out pool."""
        seed, made = self._options.seed, is_synthetic(path)
        source = self._synthetic(path.name) if made else self._apart(path)
        chain = chain_for(self._inside.short_sides[_ALL], source.short_sides[_ALL], size=self._size)
        n_in, n = len(self._plain), source.counts()[_ALL]
        inside, _ = through(chain, self._inside, {_ALL: seed}, progress=lambda done, _: progress(done, n_in + n))
        outside, plain = through(
            chain, source, {_ALL: seed + 1}, plain=(_ALL,), progress=lambda done, _: progress(n_in + done, n_in + n)
        )
        in_scored, out_scored = self._score(inside[_ALL]), self._score(outside[_ALL])
        matched = self._measures(in_scored, out_scored)
        unmatched = self._measures(self._in_plain, self._score(plain[_ALL]))
        excess = out_scored.excess[self._detector]
        self._in_matched = in_scored.excess[self._detector]
        self._outside.append(excess)
        self._miss(outside[_ALL], excess, source.labels[_ALL], path.name)
        return PoolAudit(
            name=path.name,
            synthetic=made,
            n=n,
            side=chain.side,
            unmatched=unmatched,
            matched=matched,
            low_level_unmatched=self._beside(unmatched, self._plain, plain[_ALL]),
            low_level=self._beside(matched, inside[_ALL], outside[_ALL]),
            worst_classes=_by_class(excess, source.labels[_ALL])[:_N_CLASSES],
            distances=_distances(in_scored, out_scored, excess),
        )

    def _apart(self, path: Path) -> Source:
        found = self._look(path)
        check_apart(self._inside, found)
        return found

    def _synthetic(self, name: str) -> Source:
        fitted = () if self._seen is None else self._seen.kinds
        if fitted:
            self._left_out[name] = f"the kinds {', '.join(fitted)}"
        return Synthetic.of(self._inside, n=self._options.limit, seed=self._options.seed, without=fitted)

    def _look(self, source: Path) -> Pool:
        """Look through images, those that made the bundle left out."""
        options = self._options
        found = look_through(source, WHOLE, Reading(options.limit, options.seed, self._seen or NOTHING_SEEN))
        if found.n_left_out:
            self._left_out[str(source)] = f"{found.n_left_out} images"
            note(f"{found.n_left_out} images of {source} made the bundle, and are left out")
        if (n := found.counts()[_ALL]) < _MIN_IMAGES:
            beside = f" beside {found.n_left_out} that made the bundle" if found.n_left_out else ""
            raise InvalidInputError(f"{source} holds {n} images{beside}; an audit needs at least {_MIN_IMAGES}")
        return found

    def audit(self, pools: tuple[PoolAudit, ...], progress: Reporter) -> tuple[Audit, Shown]:
        """Re-encode the in images, and put everything together."""
        manifest = self._bundle.manifest
        rates = {}
        for done, name in enumerate(BENIGN, 1):
            rates[name] = Rate.of(_flagged(self._score(benign(name, self._plain)).excess[self._detector]))
            progress(done, len(BENIGN))
        target = next(d.threshold.target_fpr for d in manifest.detectors if d.name == manifest.detector)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        found = Audit(
            bundle=str(self._options.bundle),
            detector=self._detector,
            target_fpr=target,
            n_in=len(self._plain),
            pools=pools,
            benign=rates,
            worst_in_classes=_by_class(self._in_plain.excess[self._detector], self._inside.labels[_ALL])[::-1][:_N_CLASSES],
            seed=self._options.seed,
            created=created,
            left_out=None if self._seen is None else self._left_out,
        )
        missed = tuple(example for _, example in sorted(self._missed, key=lambda item: item[0])[:_N_EXAMPLES])
        return found, Shown(self._in_matched, tuple(self._outside), missed, self._hurt())

    def _measures(self, inside: Scored, outside: Scored) -> dict[str, Measure]:
        seed = self._options.seed
        return {
            d.name: measure(inside.excess[d.name], outside.excess[d.name], zero(d.threshold), seed=seed)
            for d in self._bundle.manifest.detectors
        }

    def _beside(self, measures: dict[str, Measure], inside: Pixels, outside: Pixels) -> Measure:
        """Return the baseline where it flags as many in images as the detector that decides."""
        seed = self._options.seed
        return Traces.of(inside, outside, seed=seed).measure(measures[self._detector].fpr.value, seed=seed)

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
