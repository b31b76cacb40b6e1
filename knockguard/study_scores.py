"""Fitting and scoring in one world: all detectors in one fused graph, and every number from what that graph gives."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from onnx import ModelProto

from evaluation.baseline import Margin, Traces
from evaluation.detection import measure_at
from evaluation.detection_study import BASELINE, Row
from evaluation.experiment_file import Plugin
from evaluation.lookalikes import lookalikes
from evaluation.offline.registry import OFFLINE
from exporters.fuse import SCORES, feature_graph, fuse
from exporters.graph import graph_bytes
from exporters.runtime import open_session, run
from exporters.taps import Taps
from guard.calibration import Threshold, calibrate
from guard.detectors.base import FitData, stage_names
from guard.detectors.head import Head
from guard.detectors.linear import fit_linear
from guard.detectors.registry import DETECTORS
from guard.detectors.scratch import Scratch
from guard.preprocess import to_inputs
from guard.rate import Rate
from guard.registry import Registry
from guard.settings import from_options
from guard.types import Floats, Pixels
from knockguard.networks import Examples, overlap_rows, with_networks
from knockguard.study_victim import Served
from knockguard.study_worlds import World

T = TypeVar("T")
Reader = Callable[[Pixels], dict[str, Floats]]  # (n, h, w, 3) -> detector -> (n,) scores
VARIED = ", varied"  # after a detector's name: fitted on many histories
_BATCH = 64
_LOOKALIKES = 50  # fewer say nothing
STRENGTH = 1e-3  # of the regressions on one stage


class Scored:
    """A world's detectors, and what they say of its images. Of `detectors` those in `served` stand in the fused graph."""

    def __init__(self, served: Served, world: World, detectors: tuple[Plugin, ...]) -> None:
        self._served, self.world = served, world
        offline = {d.label: _from(OFFLINE, d) for d in detectors if d.name in set(OFFLINE)}
        chosen = {d.label: _from(DETECTORS, d) for d in detectors if d.label not in offline}
        self._overlap = overlap_rows(chosen.values(), world.classes, None)
        examples = Examples(world.in_fit, world.out_fit, self._overlap)
        model, taps = with_networks(served.model, served.taps, chosen.values(), examples, spec=served.spec, progress=_unwatched)
        self._model, self._taps = model, taps
        self._features = graph_bytes(feature_graph(model, taps))
        data = self._fit_data(world.in_fit, world.out_fit)
        heads = {label: detector.fit(data) for label, detector in chosen.items()}
        if world.varied_in is not None and world.varied_out is not None:
            varied = self._fit_data(world.varied_in, world.varied_out)
            heads |= {
                f"{label}{VARIED}": d.fit(varied) for label, d in chosen.items() if d.needs_out and not isinstance(d, Scratch)
            }
        self.served = tuple(heads)
        self.detectors = [*heads, *offline]
        self.widths = {name: data.features[name].shape[1] for name in stage_names(data.features)}
        heads |= {name: fit_linear(data, [name], strength=STRENGTH) for name in self.widths}
        self._heads = heads
        self._all = self._reader(model, taps, heads)
        module = served.module() if offline else None

        def scores(pixels: Pixels) -> dict[str, Floats]:
            found = {} if module is None else {label: d.scores(module, pixels) for label, d in offline.items()}
            return self.scores(pixels) | found

        self.calibration, self.inside = scores(world.calibration), scores(world.in_test)
        self.outside = {pool: scores(pixels) for pool, pixels in world.out_tests.items()}
        self.traces = {
            pool: Traces.of(world.in_test, pixels, seed=0, groups=world.groups[pool]) for pool, pixels in world.out_tests.items()
        }
        self.kept = {pool: lookalikes(traces, seed=0) for pool, traces in self.traces.items()}

    def scores(self, pixels: Pixels) -> dict[str, Floats]:
        """Return detector or stage -> (n,) scores, from the fused graph."""
        return self._all(pixels)

    def reader(self, names: Sequence[str]) -> Reader:
        """Return what gives the scores of these alone, without the networks of others: a search reads them by the thousand."""
        heads = {name: self._heads[name] for name in names}
        alone = not any(tap in self._taps.networks for head in heads.values() for tap in head.taps)
        served = self._served
        return self._reader(served.model, served.taps, heads) if alone else self._reader(self._model, self._taps, heads)

    def _reader(self, model: ModelProto, taps: Taps, heads: Mapping[str, Head]) -> Reader:
        session, spec = open_session(graph_bytes(fuse(model, taps, heads))), self._served.spec
        image = session.get_inputs()[0].name

        def read(pixels: Pixels) -> dict[str, Floats]:
            inputs = to_inputs(pixels, spec)
            parts = [session.run([SCORES], {image: inputs[i : i + _BATCH]})[0] for i in range(0, len(inputs), _BATCH)]
            found = np.concatenate(parts) if parts else np.empty((0, len(heads)), np.float32)
            return {name: found[:, i] for i, name in enumerate(heads)}

        return read

    def threshold(self, detector: str, target_fpr: float) -> Threshold:
        """Return a detector's threshold in this world."""
        return calibrate(self.calibration[detector], target_fpr=target_fpr)

    def rows(self, targets: Sequence[float], *, seed: int) -> list[Row]:
        """Return every detector and the baseline on every pool at every target, each beside the baseline at its own rate."""
        rows = []
        for pool, traces in self.traces.items():
            kept, groups = self.kept[pool], self.world.groups[pool]
            left = None
            if kept.sum() >= _LOOKALIKES:
                left = Traces.of(self.world.in_test, self.world.out_tests[pool][kept], seed=seed, groups=groups.kept(kept))
            for target in targets:
                found = traces.measure(target, seed=seed)
                alike = None if left is None else Rate.of(left.flags(target), left.groups.outside)
                rows.append(Row(self.world.name, BASELINE, pool, target, found, found.tpr, Margin(0, 0, 0), alike, alike))
            for name in self.detectors:
                outside = self.outside[pool][name]
                thresholds = [self.threshold(name, target) for target in targets]
                measures = measure_at(self.inside[name], outside, thresholds, seed=seed, groups=groups)
                for target, threshold, found in zip(targets, thresholds, measures, strict=True):
                    flags, fpr = threshold.flags(outside), found.fpr.value
                    base = Rate.of(traces.flags(fpr), groups.outside)
                    gap = traces.margin(threshold.flags(self.inside[name]), flags, seed=seed)
                    alike = None if left is None else Rate.of(flags[kept], left.groups.outside)
                    alike_base = None if left is None else Rate.of(left.flags(fpr), left.groups.outside)
                    rows.append(Row(self.world.name, name, pool, target, found, base, gap, alike, alike_base))
        return rows

    def features(self, pixels: Pixels) -> Mapping[str, Floats]:
        """Return what heads read: tap -> (n, d)."""
        return run(self._features, to_inputs(pixels, self._served.spec), batch_size=_BATCH)

    def _fit_data(self, inside: Pixels, outside: Pixels) -> FitData:
        n_classes = self._served.taps.n_classes
        return FitData(self.features(inside), self.world.labels, n_classes, self.features(outside), self._overlap)


def _from(family: Registry[T], plugin: Plugin) -> T:
    return from_options(family.get(plugin.name), plugin.options, what=f"detector {plugin.name!r}")


def _unwatched(_done: int, _total: int) -> None:
    """Progress of a network's training: the study tells of worlds."""
