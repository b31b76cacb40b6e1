"""The run of an experiment file: victims, gateways, thieves and copies, and what is kept to go on from.

Whatever is finished is kept in the output folder by what it was made from, so that a run which was cut off goes on, and a cell
that fails takes no other with it.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from evaluation.evaluation_results import CellResult, Evaluation, Failure, VictimRow
from evaluation.experiment_file import Cell, Experiment, Victim
from knockguard.console import Stages, note
from knockguard.data_print import data_fingerprint
from knockguard.evaluate_cells import Ground, ask, asking, copied, detector_key, n_clients
from knockguard.evaluate_images import n_pool, read_images
from knockguard.evaluate_serving import Clients, served
from knockguard.evaluate_victim import Task
from knockguard.spared import Spared
from knockguard.store import Store, code_fingerprint

KEPT, FAILED_LOG = "kept", "failed.log"
_TELLS_ONLY = (
    "report", "figure1", "evaluation_page", "evaluation_plots", "evaluation_words", "evaluation_tables", "evaluation_lines",
    "evaluation_paper", "evaluation_roc", "plot_frame", "page", "demo", "cli", "console", "audit", "study",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What `knockguard evaluate` was asked for; see its help."""

    file: Path
    data: Path
    out: Path
    fresh: bool
    victims: Path | None = None  # where trained victims are kept; with the rest by default


class Run:
    """The state of one run: what is found so far, and what failed."""

    def __init__(self, experiment: Experiment, options: EvaluateOptions) -> None:
        # One thread: networks this small gain little from a second, lose much beside other work, and sums keep their order.
        torch.set_num_threads(1)
        self._experiment, self._options = experiment, options
        self._store = store = Store(options.out / KEPT, code_fingerprint(but=_TELLS_ONLY))
        # What victims are trained on hangs on less than what is done with them, so that other grids find them again.
        self._world = store.fingerprint(experiment.model_dump_json(include={"pool", "chain"}))
        settings = experiment.model_dump_json(include={"pool", "chain", "target_fpr", "detectors"})
        self._base = store.fingerprint(settings, n_pool(experiment))  # not the budgets: a smaller one is a larger one's beginning
        pools = {name for name in (experiment.pool.set, experiment.pool.second) if name}
        self._images = {name: data_fingerprint(options.data, {name, *pools}) for name in {v.set for v in experiment.victims}}
        self._victim_store = Store(options.victims or store.folder, store.base)
        self._cells: dict[str, CellResult] = {}
        self._failures: dict[str, str] = {}
        self._victims: list[VictimRow] = []
        self._seconds: dict[str, float] = {}
        self._spent: list[tuple[int, float]] = []  # work and seconds of the cells that this run finished

    @property
    def code(self) -> str:
        """What tells this code from other code whose results would not be the same."""
        return self._store.base

    def evaluation(self, told: Callable[[Evaluation], None]) -> Evaluation:
        """Go through the victims of every seed; `told` hears after every cell what is finished."""
        self._told = told
        cells = list(self._experiment.cells())
        for cell in cells:
            if (kept := self._store.load(_stage(cell), self._key(cell))) is not None:
                self._cells[cell.id] = CellResult.model_validate_json(str(kept["result"]))
        if self._cells:
            note(f"{len(self._cells)} of {len(cells)} cells were finished before")
        for victim in self._experiment.victims:
            for seed in self._experiment.seeds:
                of_it = [c for c in cells if (c.victim, c.seed) == (victim, seed)]
                with self._spared([c for c in of_it if c.id not in self._cells], what=f"{victim.name}, seed {seed}"):
                    self._victim(victim, seed, of_it)
        return self.so_far()

    def so_far(self) -> Evaluation:
        """Return what is finished: victims, and the cells of those victims, in the grid's order."""
        measured = {(v.name, v.seed) for v in self._victims}
        finished = [self._cells[c.id] for c in self._experiment.cells() if c.id in self._cells]
        return Evaluation(
            title=self._experiment.title,
            figures=self._experiment.figures,
            differs=self._experiment.differs,
            command=f"knockguard evaluate {self._options.file} --data DATA",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            victims=tuple(self._victims),
            cells=tuple(c for c in finished if (c.victim, c.seed) in measured),
            failures=tuple(Failure(id=name, error=error) for name, error in self._failures.items()),
            versions={"python": platform.python_version()} | {name: version(name) for name in ("knockguard", "torch", "numpy")},
            seconds=self._seconds,
            settings=self._experiment.model_dump(mode="json"),
        )

    def _victim(self, victim: Victim, seed: int, cells: Sequence[Cell]) -> None:
        todo = [c for c in cells if c.id not in self._cells]
        key = self._victim_key(self._base, victim, seed)
        stage = f"row-{victim.name}-s{seed}"
        kept = self._store.load(stage, key)
        if kept is not None:
            self._victims.append(VictimRow.model_validate_json(str(kept["row"])))
            if not todo:
                return
        stages = Stages(n_stages=3 + len(todo) + len(list(_by_gateway(todo))))
        name = f"{victim.name}, seed {seed}"
        with stages.stage(f"{name}: images") as progress:
            images = read_images(self._experiment, victim, self._options.data, seed=seed, progress=progress)
        with stages.stage(f"{name}: training the victim") as progress:
            made_from = self._victim_key(self._world, victim, seed)
            task = Task(self._experiment, victim, seed, images, made_from)
            model = task.trained(self._victim_store, progress=progress)
        wanted = {detector_key(d): d for d in (*self._experiment.detectors, *(c.detector for c in todo))}
        with stages.stage(f"{name}: detectors, thresholds, tests") as progress:
            bundles = {label: task.protected(model.onnx, d, progress=progress) for label, d in wanted.items()}
            if kept is None:
                shown = {d.label: bundles[d.label] for d in self._experiment.detectors}
                row = task.row(model.test, shown)
                self._store.save(stage, key, {"row": np.array(row.model_dump_json())})
                self._victims.append(row)
        for (label, _), group in _by_gateway(todo):
            ground = Ground(task, model, bundles[label])
            with self._spared(group, what=f"{name}, {group[0].policy.label}"):
                self._gateway(ground, group, stages)
        self._seconds |= stages.seconds

    def _gateway(self, ground: Ground, cells: Sequence[Cell], stages: Stages) -> None:
        """Serve once for cells that share a bundle and a policy, then train their copies."""
        first = cells[0]
        told = f"{first.victim.name}, seed {first.seed}, {first.policy.label}"
        folder = self._options.out / KEPT / f"bundle-{first.victim.name}-s{first.seed}-{detector_key(first.detector)}"
        ground.bundle.write(folder, force=True)
        paths = {asking(c): self._transfer_set(ground, c) for c in cells}
        log = self._options.out / f"gateway-{first.victim.name}-s{first.seed}.log"
        clients = Clients(n_clients(cells), self._experiment.limits)
        with stages.stage(f"{told}: asking") as progress, served(
            folder, first.policy, clients, seed=first.seed, log=log
        ) as endpoint:  # fmt: skip
            asked = ask(ground, cells, endpoint, paths, progress=progress)
        for cell in cells:
            with self._spared([cell], what=cell.id):
                if (error := asked.failed.get(asking(cell))) is not None:
                    raise error
                with stages.stage(f"{cell.id}: the copy") as progress:
                    result = copied(ground, cell, asked, progress=progress)
                self._store.save(_stage(cell), self._key(cell), {"result": np.array(result.model_dump_json())})
                self._cells[cell.id] = result
                self._spent.append((_work(cell), result.seconds))
                self._told(self.so_far())
                self._tell_time_left()

    def _transfer_set(self, ground: Ground, cell: Cell) -> Path:
        """Return where a transfer set is kept, named by all that it depends on, and drop what other inputs left."""
        parts = (self._key(cell, asked=True), ground.bundle.manifest.sha256, ground.bundle.manifest.detectors[0].threshold.value)
        stem = f"asked-{_digest(cell.victim.name, detector_key(cell.detector), cell.policy.label, asking(cell), cell.seed)}"
        path = self._options.out / KEPT / f"{stem}-{self._store.fingerprint(*parts)}.npz"
        for old in path.parent.glob(f"{stem}-*"):
            if not old.name.startswith(path.name):
                old.unlink()
        return path

    def _key(self, cell: Cell, *, asked: bool = False) -> str:
        """Return what a cell's result depends on, or its transfer set alone."""
        limits = self._experiment.limits.model_dump_json()
        parts: list[object] = [detector_key(cell.detector), cell.policy.label, limits, asking(cell)]
        if not asked:
            parts += [cell.surrogate.model_dump_json(), cell.adversary.label, cell.budget]
        return self._store.fingerprint(self._victim_key(self._base, cell.victim, cell.seed), *parts)

    def _victim_key(self, base: str, victim: Victim, seed: int) -> str:
        return self._store.fingerprint(base, victim.model_dump_json(), self._images[victim.set], seed)

    def _spared(self, cells: Sequence[Cell], *, what: str) -> Spared:
        return Spared(self._failures, cells, what, self._options.out / FAILED_LOG)

    def _tell_time_left(self) -> None:
        left = [c for c in self._experiment.cells() if c.id not in self._cells and c.id not in self._failures]
        if left:
            work, seconds = (sum(column) for column in zip(*self._spent, strict=True))
            minutes = seconds / work * sum(map(_work, left)) / 60
            note(f"{len(self._cells)} cells finished, {len(left)} to go, their copies take about {minutes:.0f} min")


def _by_gateway(cells: Sequence[Cell]) -> Iterator[tuple[tuple[str, str], list[Cell]]]:
    """Yield the cells that one gateway serves together, by detector and policy."""

    def place(cell: Cell) -> tuple[str, str]:
        return detector_key(cell.detector), cell.policy.label

    for which, group in groupby(sorted(cells, key=place), key=place):
        yield which, list(group)


def _work(cell: Cell) -> int:
    """Return how many images a cell's copy is taught, all epochs counted."""
    return cell.budget * cell.surrogate.training.epochs


def _stage(cell: Cell) -> str:
    return f"cell-{_digest(cell.id)}"


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:12]
