"""`knockguard study`: an experiment file's victims and detectors, measured by rules under which file format earns nothing."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from evaluation.detection_study import Study, VictimStudy, read_victim, write_study, write_victim
from evaluation.detection_words import markdown, table
from evaluation.experiment_file import Experiment, Victim
from evaluation.experiment_names import check_names
from evaluation.experiment_reading import read_experiment
from evaluation.metrics import accuracy
from evaluation.pools import load_pools
from exporters.fuse import feature_graph
from exporters.graph import graph_bytes
from exporters.runtime import run
from guard.calibration import check_supported, smallest_n
from guard.errors import ConfigError, InvalidInputError
from guard.preprocess import to_inputs
from guard.types import Pixels, Reporter
from guard.whole import write_whole
from knockguard.console import Stages, note, out
from knockguard.data_print import data_fingerprint
from knockguard.store import code_fingerprint
from knockguard.study_probes import benign_rows, masquerade_rows, stage_rows
from knockguard.study_scores import VARIED, Scored
from knockguard.study_victim import Served, load_sides, served_victim
from knockguard.study_worlds import World, Worlds

RESULT, PAGE, VICTIMS = "study.json", "study.md", "victims"
STRICT_FPR = 0.01  # beside the file's own target
CONFIDENCE = 0.99  # of thresholds


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What `knockguard study` was asked for; see its help."""

    file: Path
    data: Path
    out: Path
    fresh: bool


def study_file(options: StudyOptions, *, as_json: bool) -> None:
    """Measure every victim of a file, write study.json and study.md, print the table. What is finished is not done again."""
    experiment = read_experiment(options.file)
    check_names(experiment, served=False)
    if not experiment.detectors:
        raise ConfigError(f"{options.file} names no detector; a study measures detectors, so give `detectors = [...]`")
    code = code_fingerprint()
    wanted = [(victim, seed) for victim in experiment.victims for seed in experiment.seeds]
    stages = Stages(n_stages=4 * len(wanted))
    found = []
    for victim, seed in wanted:
        path = options.out / f"{victim.name}-s{seed}-{study_key(experiment, victim, options.data, code)}.json"
        kept = None if options.fresh else _kept(path)
        if kept is None:
            kept = _Run(experiment, victim, options, seed, code).measured(stages)
            write_victim(kept, path)
        else:
            note(f"{victim.name}, seed {seed}: measured before, {path}")
        found.append(kept)
    study = Study(
        experiment.title,
        options.file.name,
        experiment.figures,
        experiment.differs,
        targets(experiment),
        experiment.detectors[0].label,
        tuple(found),
        {"python": platform.python_version()}
        | {name: version(name) for name in ("knockguard", "numpy", "torch", "scikit-learn")},
    )
    write_study(study, options.out / RESULT)
    write_whole(options.out / PAGE, markdown(study).encode())
    if as_json:
        out.print_json((options.out / RESULT).read_text(encoding="utf-8"))
    else:
        out.print(table(study))
    note(f"wrote {options.out / RESULT} and {options.out / PAGE}")


def targets(experiment: Experiment) -> tuple[float, ...]:
    """Return the false-positive rates that thresholds are calibrated to, the strictest first."""
    return tuple(sorted({STRICT_FPR, experiment.target_fpr}))


def study_key(experiment: Experiment, victim: Victim, data: Path, code: str) -> str:
    """Return what one victim's rows hang on: the file but for its words, the images, and the code."""
    pool = experiment.pool
    images = data_fingerprint(data, [victim.set, pool.set, *([pool.second] if pool.second else [])])
    asked = experiment.model_dump_json(exclude={"victims", "title", "differs"})
    return sha256(f"{code} {images} {asked} {victim.model_dump_json()}".encode()).hexdigest()[:12]


def _kept(path: Path) -> VictimStudy | None:
    try:
        return read_victim(path)
    except InvalidInputError:
        return None


class _Run:
    """One victim, from its images to its rows."""

    def __init__(self, experiment: Experiment, victim: Victim, options: StudyOptions, seed: int, code: str) -> None:
        self._experiment, self._victim, self._options, self._seed, self._code = experiment, victim, options, seed, code

    def measured(self, stages: Stages) -> VictimStudy:
        started, victim, seed = monotonic(), self._victim, self._seed
        name = f"{victim.name}, seed {seed}"
        with stages.stage(f"{name}: images and the matched chain"):
            sides = load_sides(victim, self._options.data, seed=seed)
            supported = self._supported(sides.calibration.n_groups, name)
            pools = load_pools(self._options.data, self._experiment.pool, seed=seed).without(victim.own_kinds)
            n_fit = self._experiment.pool.n_fit
            worlds = Worlds(sides, pools, self._experiment.chain, size=victim.size, n_fit=n_fit, seed=seed)
        with stages.stage(f"{name}: victim") as progress:
            images = data_fingerprint(self._options.data, [victim.set])
            key = sha256(f"{self._code} {images} {_trained(victim)} {seed}".encode()).hexdigest()[:12]
            path = self._options.out / VICTIMS / f"{victim.name}-{key}.onnx"
            served = served_victim(victim, sides, path, fresh=self._options.fresh, seed=seed, progress=progress)
        with stages.stage(f"{name}: detectors in both worlds") as progress:
            matched, plain = self._scored(served, worlds, progress)
        with stages.stage(f"{name}: stages, re-encodings, masquerades"):
            found = self._probed(matched, plain, worlds, supported)
        trials = tuple((t.kernel.value, t.side, t.baseline.tpr.value, t.baseline.auroc) for t in worlds.matching.trials)
        return replace(
            found,
            n_train=len(sides.victim),
            accuracy=_accuracy(served, plain.world.in_test, plain.world),
            accuracy_matched=_accuracy(served, matched.world.in_test, matched.world),
            chain=worlds.matching.describe(),
            trials=trials,
            counts=worlds.counts(),
            seconds=round(monotonic() - started, 1),
        )

    def _supported(self, n: int, name: str) -> tuple[float, ...]:
        """Return the targets that n groups of calibration images support; CalibrationError, before long work, if not the file's.

        Each group is one draw, however many images it has.
        """
        check_supported(n, target_fpr=self._experiment.target_fpr, confidence=CONFIDENCE)
        asked = targets(self._experiment)
        found = tuple(target for target in asked if n >= smallest_n(target, CONFIDENCE))
        if len(found) < len(asked):
            needed = smallest_n(asked[0], CONFIDENCE)
            note(f"{name}: {n} groups of calibration images say nothing of a target of {asked[0]:.0%}, which takes {needed}")
        return found

    def _scored(self, served: Served, worlds: Worlds, progress: Reporter) -> tuple[Scored, Scored]:
        detectors = self._experiment.detectors
        matched = Scored(served, worlds.matched(), detectors)
        progress(1, 2)
        return matched, Scored(served, worlds.as_they_come(), detectors)

    def _probed(self, matched: Scored, plain: Scored, worlds: Worlds, supported: Sequence[float]) -> VictimStudy:
        victim, seed, target = self._victim, self._seed, self._experiment.target_fpr
        asked = self._experiment.detectors[0].label
        watched = [name for name in (asked, f"{asked}{VARIED}") if name in matched.served]
        rows = [*matched.rows(supported, seed=seed), *plain.rows(supported, seed=seed)]
        return VictimStudy(
            victim.name,
            victim.set,
            victim.architecture,
            victim.size,
            seed,
            0,
            0.0,
            0.0,
            "",
            (),
            {},
            tuple(rows),
            tuple(stage_rows(matched, plain, worlds)),
            tuple(benign_rows(matched, worlds, watched, target_fpr=target)),
            tuple(masquerade_rows(matched, worlds, watched, target_fpr=target, seed=seed)),
        )


def _trained(victim: Victim) -> str:
    """Return what a victim's weights hang on beside its images: not its name, nor what it is tested on."""
    return victim.model_dump_json(exclude={"n_test", "name", "own_kinds"})


def _accuracy(served: Served, pixels: Pixels, world: World) -> float:
    graph = graph_bytes(feature_graph(served.model, served.taps))
    return accuracy(run(graph, to_inputs(pixels, served.spec), outputs=("probabilities",))["probabilities"], world.test_labels)
