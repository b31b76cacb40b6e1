"""An evaluation's victim: trained as its file says, exported, measured without a guard, and put behind each detector."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from evaluation.bootstrap import accuracy_interval
from evaluation.evaluation_results import DetectorRow, VictimRow
from evaluation.experiment_file import Experiment, Plugin, Victim
from evaluation.metrics import balanced_accuracy, by_class
from evaluation.models import architecture
from exporters.fuse import feature_graph
from exporters.graph import graph_bytes, load_graph
from exporters.runtime import run
from exporters.taps import find_taps
from exporters.torch_export import export_victim
from guard.bundle import InputSpec
from guard.preprocess import to_inputs
from guard.types import Floats, Reporter
from knockguard.baseline import Baseline, measure_baseline
from knockguard.evaluate_images import Images
from knockguard.experiment_victim import N_SAMPLE, spec_of, trained_network
from knockguard.protect import Material, Measured, Plan, Protected, batches, protect
from knockguard.store import Store
from knockguard.unguarded import unguarded

MODEL = "victim"


@dataclass(frozen=True, slots=True)
class TrainedVictim:
    """The exported model, and what it answers to the test images, (n, k) float32, without a guard."""

    onnx: Path
    test: Floats


@dataclass(frozen=True, slots=True)
class Task:
    """One victim of one seed, with its images: `key` is what they were made from."""

    experiment: Experiment
    victim: Victim
    seed: int
    images: Images
    key: str

    @property
    def spec(self) -> InputSpec:
        """How the exported model takes images."""
        return spec_of(self.victim)

    @property
    def material(self) -> Material:
        """What detectors are fitted, calibrated and tested on; the attack's pool is what tests them."""
        pixels = self.images.pixels
        return Material(
            in_fit=pixels["detector"],
            out_fit=pixels["out_fit"],
            calibration={"as_sent": pixels["calibration"]},
            in_test=pixels["test"],
            out_test=pixels["pool"],
            in_fit_classes=tuple(self.images.classes[label] for label in self.images.labels["detector"]),
        )

    def trained(self, store: Store, *, progress: Reporter) -> TrainedVictim:
        """Train and export, unless that was done before from the same."""
        victim, images, seed = self.victim, self.images, self.seed
        stage, path = victim_stage(victim, seed), store.folder / f"{victim.name}-s{seed}.onnx"
        kept = store.load(stage, self.key)
        if kept is not None and path.exists() and sha256(path.read_bytes()).hexdigest() == str(kept["sha256"]):
            return TrainedVictim(path, kept["test"])
        own, labels = images.pixels["victim"], images.labels["victim"]
        model = trained_network(victim, own, labels, n_classes=len(images.classes), seed=seed, progress=progress)
        sample = to_inputs(images.pixels["test"][:N_SAMPLE], self.spec)
        export_victim(model.to("cpu"), path, sample=sample, stages=architecture(victim.architecture).stages)
        graph = load_graph(path)
        plain = graph_bytes(feature_graph(graph, find_taps(graph)))
        test = run(plain, batches(images.pixels["test"], self.spec), outputs=("probabilities",))["probabilities"]
        digest = sha256(path.read_bytes()).hexdigest()
        store.save(stage, self.key, {"sha256": np.array(digest), "test": test})
        return TrainedVictim(path, test)

    def protected(self, onnx: Path, detector: Plugin | None, *, progress: Reporter) -> Protected:
        """Return the victim's bundle with one detector, calibrated on images of its own, or with one that flags nothing."""
        graph = load_graph(onnx)
        taps = find_taps(graph)
        if detector is None:
            return unguarded(graph, taps, Plan(self.spec, MODEL, self.images.classes), self.images.pixels["test"], original=onnx)
        plan = Plan(
            self.spec,
            MODEL,
            self.images.classes,
            detectors=(detector.name,),
            target_fpr=self.experiment.target_fpr,
            options={detector.name: detector.options},
        )
        return protect(graph, taps, self.material, plan, original=onnx, progress=progress)

    def row(self, test: Floats, bundles: Mapping[str, Protected]) -> VictimRow:
        """Return what the run says of the victim and of what its detectors do."""
        labels, n_classes = self.images.labels["test"], len(self.images.classes)
        rows = [_detector(name, bundle.measured[0]) for name, bundle in bundles.items()]
        baseline = measure_baseline(self.material, target_fpr=self.experiment.target_fpr) if bundles else None
        return VictimRow(
            name=self.victim.name,
            set=self.victim.set,
            architecture=self.victim.architecture,
            weights=self.victim.weights,
            size=self.victim.size,
            seed=self.seed,
            accuracy=balanced_accuracy(test, labels),
            accuracy_interval=accuracy_interval(test.argmax(axis=1) == labels, labels, seed=self.seed),
            n_classes=n_classes,
            n_train=len(self.images.labels["victim"]),
            n_test=len(labels),
            recalls=by_class(test, labels),
            detectors=tuple(rows),
            baseline=None if baseline is None else _detector("low-level statistics", baseline),
            images=self.images.history,
            counts=self.images.counts(),
            classes=self.images.classes,
        )


def _detector(name: str, found: Measured | Baseline) -> DetectorRow:
    return DetectorRow.of(name, found.tpr, found.fpr, found.in_scores, found.out_scores)


def victim_stage(victim: Victim, seed: int) -> str:
    """Return the name under which a trained victim is kept."""
    return f"victim-{victim.name}-s{seed}"
