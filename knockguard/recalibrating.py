"""`knockguard recalibrate`: a bundle's thresholds anew, from scores that were logged while it served."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from guard.bundle import MANIFEST, QUANTILES, DetectorSpec, Manifest, Version, check_place, load_bundle, write_bundle
from guard.calibration import calibrate, calibrate_per_class
from guard.drift import Drift, count, drift
from guard.errors import CalibrationError, ConfigError, InvalidInputError
from guard.seen import read_seen
from guard.types import Floats
from knockguard.console import note, out, warn
from knockguard.score_files import MOST, Logged, Wanted, read_scores

LOGGED = "calibration_logged_"  # and a detector, in what a manifest counts: images whose scores alone were at hand
_REPEATED = 0.9  # below this share of different scores, the log holds the same images again and again


@dataclass(frozen=True, slots=True)
class RecalibrateOptions:
    """What `knockguard recalibrate` was asked for; see its help. `target_fpr` None keeps each detector's own."""

    bundle: Path
    scores: Path
    out: Path
    target_fpr: float | None
    tenants: tuple[str, ...]
    version: str | None
    force: bool


def recalibrate_files(options: RecalibrateOptions, *, as_json: bool) -> None:
    """Write a bundle of the same model with new thresholds, and print what changed and how far scores had drifted."""
    check_place(options.out, force=options.force)
    bundle = load_bundle(options.bundle)
    before = bundle.manifest
    version = _version(options.version or before.version)
    logged = read_scores(options.scores, Wanted(before, frozenset(options.tenants)))
    after = _recalibrated(before, logged, options, version)
    seen = read_seen(options.bundle, before.provenance.seen)
    write_bundle(options.out, manifest=after, model=bundle.model, seen=seen, force=options.force)
    moved = {name: _drift(before, name, logged) for name in logged.scores}
    _tell(before, after, moved, logged)
    rows = [
        _row(old, new, moved[old.name]) for old, new in zip(before.detectors, after.detectors, strict=True) if old.name in moved
    ]
    if as_json:
        out.print_json(json.dumps({"bundle": str(options.out), "detectors": rows, "passed_over": dict(logged.passed_over)}))
    else:
        table = Table(*(key.replace("_", " ") for key in rows[0]), title=f"{after.name}: thresholds from logged scores")
        for row in rows:
            table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        out.print(table)
    note(f"wrote {options.out / MANIFEST}. Next: knockguard serve {options.out}")


def _recalibrated(before: Manifest, logged: Logged, options: RecalibrateOptions, version: str) -> Manifest:
    """Return the manifest with new thresholds and quantiles for every detector that the log has scores of."""
    if before.detector not in logged.scores:
        passed = "; ".join(f"{n} rows {why}" for why, n in logged.passed_over.items())
        raise InvalidInputError(
            f"{options.scores} has no score of {before.detector}, which decides; give the log of this very bundle"
            + (f" (passed over: {passed})" if passed else "")
        )
    if unknown := sorted(set(logged.scores) - {d.name for d in before.detectors}):
        raise InvalidInputError(f"{options.scores} has scores of {unknown[0]!r}, which is no detector of this bundle")
    detectors = tuple(
        _detector(d, logged, options, len(before.labels)) if d.name in logged.scores else d for d in before.detectors
    )
    images = before.provenance.images | {f"{LOGGED}{name}": len(scores) for name, scores in logged.scores.items()}
    made = before.provenance.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds"), "images": images})
    return before.model_copy(update={"detectors": detectors, "version": version, "provenance": made})


def _detector(old: DetectorSpec, logged: Logged, options: RecalibrateOptions, n_classes: int) -> DetectorSpec:
    scores, top = logged.scores[old.name], logged.top[old.name]
    target = old.threshold.target_fpr if options.target_fpr is None else options.target_fpr
    confidence = old.threshold.confidence
    if old.threshold.per_class is None:
        threshold = calibrate(scores, target_fpr=target, confidence=confidence)
    elif top is None:
        raise CalibrationError(
            f"{old.name} has a threshold of each class, and not every row says which class was ranked first; log it as 'top', or "
            "make the bundle anew with `knockguard protect`"
        )
    else:
        threshold = calibrate_per_class(scores, top, n_classes=n_classes, target_fpr=target, confidence=confidence)
    if max((threshold.value, *(threshold.per_class or ()))) >= MOST:
        raise CalibrationError(
            f"{_not_finite(scores)} of {len(scores)} logged scores of {old.name} are not finite, and each such row is flagged "
            f"whatever the threshold: that alone exceeds a false-positive rate of {target:g}; look for an overflowing graph or "
            "broken images in the log"
        )
    quantiles = np.quantile(scores.astype(np.float64), QUANTILES)  # in float32 the way from -MOST to MOST overflows
    return DetectorSpec(name=old.name, threshold=threshold, quantiles=tuple(quantiles.tolist()))


def _not_finite(scores: Floats) -> int:
    return int((scores >= MOST).sum())


def _drift(before: Manifest, name: str, logged: Logged) -> Drift:
    spec = next(d for d in before.detectors if d.name == name)
    return drift(count(logged.scores[name], spec.quantiles), spec.quantiles, n_calibration=spec.threshold.n)


def _row(old: DetectorSpec, new: DetectorSpec, moved: Drift) -> dict[str, str | int | float]:
    return {
        "detector": old.name,
        "n": new.threshold.n,
        "threshold_before": old.threshold.value,
        "threshold_after": new.threshold.value,
        "target_fpr": new.threshold.target_fpr,
        "psi": moved.psi,
        "gap": moved.gap,
        "moved": "yes" if moved.moved else "no",
    }


def _tell(before: Manifest, after: Manifest, moved: dict[str, Drift], logged: Logged) -> None:
    for why, n in logged.passed_over.items():
        note(f"{n} rows {why} were passed over")
    for name, scores in logged.scores.items():
        if n := _not_finite(scores):
            warn(
                f"{n} of {len(scores)} scores of {name} are not finite: such rows are flagged, so they count above any threshold"
            )
    if (share := len(np.unique(logged.scores[before.detector])) / len(logged.scores[before.detector])) < _REPEATED:
        warn(
            f"only {share:.0%} of the scores are different: images that are sent again and again are no independent draws, and "
            "the bound needs as many different ones"
        )
    first = [next(d for d in m.detectors if d.name == m.detector).threshold for m in (before, after)]
    if first[1].value > first[0].value and moved[before.detector].moved:
        warn(
            f"the threshold rises from {first[0].value:.4g} to {first[1].value:.4g}: if an attack is among the logged rows, it "
            "is let through from now on. Name tenants whose images you trust with --tenant"
        )


def _version(version: str) -> str:
    try:
        return str(TypeAdapter(Version).validate_python(version))
    except ValidationError:
        raise ConfigError(f"--version is {version!r}; it must be a whole number from 1, of at most 18 digits") from None
