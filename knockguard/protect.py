"""protect: from a trained model and two sets of images to a bundle.

Features of the victim -> heads -> fused graph -> thresholds from the scores that *this* graph gives -> test -> bundle. Nothing
of the model is trained, and nothing but the fused graph is ever scored.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from pydantic import TypeAdapter, ValidationError

from evaluation.matching import Matching
from evaluation.overlap import Overlap
from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import Taps
from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Name, Provenance, Version, write_bundle
from guard.calibration import Threshold, calibrate, calibrate_per_class, check_supported, smallest_n, strictest
from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head
from guard.detectors.registry import DETECTORS
from guard.errors import ConfigError
from guard.preprocess import to_inputs
from guard.rate import Rate
from guard.registry import nearest
from guard.seen import Seen
from guard.settings import from_options
from guard.types import Bools, Floats, Ints, Pixels, Reporter
from knockguard.networks import Examples, overlap_rows, weights_named, with_networks

_PARITY_ROWS = 64
DEFAULT_DETECTORS = ("linear-late", "energy", "msp")
DEFAULT_TARGET_FPR = 0.05
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Material:
    """Images at the model's own size, (n, h, w, 3) uint8. No image is in two of these.

    `calibration` is what the threshold is taken from: every entry on its own, and the strictest counts, so that each kind of
    benign image (as it is, after re-encoding) is held to the target. `in_fit_classes` names the class of each in image that fits,
    None where it is not known. `views` is how often each image stands in what fits, as blocks one after another. `seen` is
    kept in the bundle, for audits; `matching` is the chain that both sides went through, None where they had one history.
    """

    in_fit: Pixels
    out_fit: Pixels
    calibration: Mapping[str, Pixels]
    in_test: Pixels
    out_test: Pixels
    in_fit_classes: tuple[str | None, ...] = ()
    views: int = 1
    seen: Seen | None = None
    matching: Matching | None = None

    def shown(self, spec: InputSpec) -> Floats:
        """Return up to 64 in images as the model takes them, those of the test first, to compare answers on."""
        parts = (self.in_test, *self.calibration.values(), self.in_fit)
        return to_inputs(np.concatenate([part[:_PARITY_ROWS] for part in parts])[:_PARITY_ROWS], spec)

    def counts(self) -> dict[str, int]:
        """Return how many images each part has, for the bundle's provenance."""
        parts = {"in_fit": self.in_fit, "out_fit": self.out_fit, "in_test": self.in_test, "out_test": self.out_test}
        return {k: len(v) for k, v in parts.items()} | {f"calibration_{k}": len(v) for k, v in self.calibration.items()}


@dataclass(frozen=True, slots=True)
class Measured:
    """One detector: its threshold, and what it did on the test images."""

    name: str
    threshold: Threshold
    quantiles: tuple[float, ...]
    tpr: Rate
    fpr: Rate
    in_scores: Floats
    out_scores: Floats


@dataclass(frozen=True, slots=True)
class Protected:
    """The bundle's manifest and fused model, and how each detector did."""

    manifest: Manifest
    model: bytes
    measured: tuple[Measured, ...]
    top_probability: float  # the victim's mean confidence on the in images; near 1 they may be its own training images
    seen: Seen | None = None

    def write(self, folder: Path, *, force: bool = False) -> None:
        """Write the bundle, whole or not at all."""
        write_bundle(folder, manifest=self.manifest, model=self.model, seen=self.seen, force=force)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the bundle is to be: how the model takes images, what it is called, and how strict its detectors are.

    The first of `detectors` decides; the others are fused beside it and only watched. `options` are theirs, by detector, as a
    user wrote them. ConfigError for a name or version that a bundle cannot have and for a detector or option that there is not,
    CalibrationError for a target that no number of images supports.
    """

    spec: InputSpec
    name: str
    labels: Sequence[str]
    detectors: Sequence[str] = DEFAULT_DETECTORS
    target_fpr: float = DEFAULT_TARGET_FPR
    confidence: float = 0.99
    version: str = "1"
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    per_class: bool = False  # a threshold of each class that the victim ranks first
    overlap: Overlap | None = None  # with public sets; None: with ImageNet, where a detector asks

    def __post_init__(self) -> None:
        for what, kind, value, fix in (
            ("name", Name, self.name, "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"),
            ("version", Version, self.version, "a whole number from 1, of at most 18 digits"),
        ):
            try:
                TypeAdapter(kind).validate_python(value)
            except ValidationError:
                raise ConfigError(f"the model's {what} is {value!r}; it must be {fix} (--{what})") from None
        smallest_n(self.target_fpr, self.confidence)
        if stray := sorted(set(self.options) - set(self.detectors)):
            hint = nearest(stray[0], self.detectors)
            raise ConfigError(f"options are given for detector {stray[0]!r}, which is not among these{hint}")
        self.built()

    def built(self) -> dict[str, Detector]:
        """Return the detectors, not fitted yet."""
        return {
            name: from_options(DETECTORS.get(name), self.options.get(name, {}), what=f"detector {name!r}")
            for name in self.detectors
        }


def protect(  # noqa: PLR0913  # the victim is three of them: as it was written, as it was read, and where its heads look
    victim: onnx.ModelProto, taps: Taps, material: Material, plan: Plan, *, original: Path, progress: Reporter
) -> Protected:
    """Return the bundle that protects a victim; `original` is its file, whose own answers the bundle's are compared with.

    Raises FitError, CalibrationError, GraphError, ParityError, and ConfigError for a detector nobody knows.
    """
    for pixels in material.calibration.values():
        check_supported(len(pixels), target_fpr=plan.target_fpr, confidence=plan.confidence)
    spec, detectors = plan.spec, plan.built()
    overlap = overlap_rows(detectors.values(), material.in_fit_classes, plan.overlap)
    examples = Examples(material.in_fit, material.out_fit, overlap)
    whole, taps = with_networks(victim, taps, detectors.values(), examples, spec=spec, progress=progress)
    heads, top_probability = _fit(whole, taps, material, plan, overlap=overlap, progress=progress)
    fused = graph_bytes(fuse(whole, taps, heads))
    check_parity(original, taps, fused, material.shown(spec))
    calibration = [_scored(fused, pixels, spec) for pixels in material.calibration.values()]
    inside, outside = _scored(fused, material.in_test, spec), _scored(fused, material.out_test, spec)
    measured = []
    for column, detector in enumerate(heads):
        threshold = strictest([_threshold(scored, column, plan) for scored in calibration])
        quantiles = tuple(np.quantile(calibration[0].scores[:, column], QUANTILES).tolist())  # of benign images as they are sent
        tpr, fpr = (Rate.of(threshold.flags(side.scores[:, column], side.top)) for side in (outside, inside))
        measured.append(Measured(detector, threshold, quantiles, tpr, fpr, inside.scores[:, column], outside.scores[:, column]))

    provenance = Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        victim_sha256=sha256(graph_bytes(victim)).hexdigest(),
        images=material.counts(),
        versions=tool_versions(),
        seen=None if material.seen is None else material.seen.spec(),
        stages=dict(taps.stages),
        matched=None if material.matching is None else material.matching.spec(),
        options={name: weights_named(asdict(d)) for name, d in detectors.items()},  # type: ignore[call-overload]  # all are dataclasses
    )
    specs = tuple(DetectorSpec(name=m.name, threshold=m.threshold, quantiles=m.quantiles) for m in measured)
    return Protected(manifest_of(plan, fused, specs, provenance), fused, tuple(measured), top_probability, material.seen)


def manifest_of(plan: Plan, fused: bytes, detectors: tuple[DetectorSpec, ...], provenance: Provenance) -> Manifest:
    """Return what a bundle of this plan and graph says of itself; the first detector decides."""
    return Manifest(
        format_version=1,
        name=plan.name,
        version=plan.version,
        model="model.onnx",
        sha256=sha256(fused).hexdigest(),
        input=plan.spec,
        output="probabilities",
        labels=tuple(plan.labels),
        detectors=detectors,
        detector=detectors[0].name,
        provenance=provenance,
    )


def tool_versions() -> dict[str, str]:
    """Return the versions that a bundle's numbers depend on."""
    names = ("knockguard", "numpy", "onnx", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _fit(  # noqa: PLR0913  # the victim is two of them
    victim: onnx.ModelProto, taps: Taps, material: Material, plan: Plan, *, overlap: Bools | None, progress: Reporter
) -> tuple[dict[str, Head], float]:
    """Fit every detector on one pass of the victim over the fitting images."""
    graph = graph_bytes(feature_graph(victim, taps))
    total = len(material.in_fit) + len(material.out_fit)
    inside = run(graph, batches(material.in_fit, plan.spec), progress=lambda done, _: progress(done, total))
    outside = run(
        graph, batches(material.out_fit, plan.spec), progress=lambda done, _: progress(done + len(material.in_fit), total)
    )
    probabilities = inside["probabilities"]
    labels = probabilities.argmax(axis=1).astype(np.int64)
    data = FitData(inside, labels, probabilities.shape[1], outside, overlap, material.views)
    return {name: detector.fit(data) for name, detector in plan.built().items()}, float(probabilities.max(axis=1).mean())


@dataclass(frozen=True, slots=True)
class _Scored:
    """What the fused graph says of n images: scores (n, m), one column a detector, and the class ranked first (n,)."""

    scores: Floats
    top: Ints


def _scored(fused: bytes, pixels: Pixels, spec: InputSpec) -> _Scored:
    found = run(fused, batches(pixels, spec), outputs=("scores", "probabilities"))
    return _Scored(found["scores"], found["probabilities"].argmax(axis=1))


def _threshold(scored: _Scored, column: int, plan: Plan) -> Threshold:
    scores = scored.scores[:, column]
    if not plan.per_class:
        return calibrate(scores, target_fpr=plan.target_fpr, confidence=plan.confidence)
    return calibrate_per_class(
        scores, scored.top, n_classes=len(plan.labels), target_fpr=plan.target_fpr, confidence=plan.confidence
    )


def batches(pixels: Pixels, spec: InputSpec) -> Iterator[Floats]:
    """Yield model inputs in batches: as float32 all of them at once would take four times the images' own memory."""
    return (to_inputs(pixels[start : start + _AT_ONCE], spec) for start in range(0, len(pixels), _AT_ONCE))
