"""An evaluation's cells: those that share a gateway are asked together, and each is copied, measured and kept by itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from evaluation.adversaries.base import Adversary
from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Attack
from evaluation.attacks.registry import ATTACKS
from evaluation.bootstrap import net_recovery_interval, recovery_interval
from evaluation.evaluation_results import CellResult, Measures
from evaluation.experiment_file import Cell, Plugin
from evaluation.halves import choosing_half
from evaluation.metrics import answer_counts, balanced_accuracy, by_class, fidelity, net_recovery, recovery
from evaluation.replay import Campaign
from evaluation.surrogate import Student, copy_victim
from evaluation.training import predict
from evaluation.transfer import TransferSet
from exporters.runtime import run
from guard.preprocess import to_inputs
from guard.settings import from_options
from guard.types import Bools, Floats, Ints, Pixels, Reporter
from knockguard.evaluate_images import Images
from knockguard.evaluate_serving import Endpoint
from knockguard.evaluate_victim import Task, TrainedVictim
from knockguard.experiment_victim import training_of
from knockguard.protect import Protected


@dataclass(frozen=True, slots=True)
class Ground:
    """What the cells of one gateway stand on: a victim with its images, and the bundle that serves it."""

    task: Task
    trained: TrainedVictim
    bundle: Protected

    @property
    def images(self) -> Images:
        return self.task.images

    def n_flagged(self, pixels: Pixels) -> int:
        """Return how many images the bundle's detector flags, by the fused graph that is served."""
        inputs = (to_inputs(pixels[i : i + 512], self.task.spec) for i in range(0, len(pixels), 512))
        scores = run(self.bundle.model, inputs, outputs=("scores",))["scores"][:, 0]
        return int(self.bundle.measured[0].threshold.flags(scores).sum())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a customer and the thieves of one gateway were answered; transfer sets by `asking`."""

    benign: Floats
    stolen: Mapping[tuple[str, ...], TransferSet]
    failed: Mapping[tuple[str, ...], Exception]


def plugins(cell: Cell) -> tuple[Attack, Adversary]:
    """Return a cell's attack and adversary; ConfigError for an option that there is not."""
    attack = from_options(ATTACKS.get(cell.attack.name), cell.attack.options, what=f"attack {cell.attack.name!r}")
    adversary = from_options(
        ADVERSARIES.get(cell.adversary.name), cell.adversary.options, what=f"adversary {cell.adversary.name!r}"
    )
    return attack, adversary


def asking(cell: Cell) -> tuple[str, ...]:
    """Return what cells that share a transfer set have in common beside their gateway."""
    attack, adversary = plugins(cell)
    return attack.asking, adversary.asking


def n_clients(cells: Iterable[Cell]) -> int:
    """Return how many identities the thieves of these cells ask with, each transfer set with fresh ones."""
    return sum({asking(cell): plugins(cell)[1].n_clients for cell in cells}.values())


def ask(
    ground: Ground, cells: Sequence[Cell], endpoint: Endpoint, paths: Mapping[tuple[str, ...], Path], *, progress: Reporter
) -> Asked:
    """Let a customer ask about the test images and the thieves spend the largest of their budgets.

    A thief who fails takes no other with him.
    """
    benign = endpoint.benign(ground.images.pixels["test"])
    stolen: dict[tuple[str, ...], TransferSet] = {}
    failed: dict[tuple[str, ...], Exception] = {}
    key = 1
    for number, which in enumerate(paths):
        of_it = [cell for cell in cells if asking(cell) == which]
        attack, adversary = plugins(of_it[0])
        try:
            campaign = Campaign(
                attack, adversary, ground.images.pool(attack), of_it[0].seed, paths[which], endpoint=paths[which].stem
            )
            budget = max(cell.budget for cell in of_it)
            part = _part(progress, number, len(paths))
            stolen[which] = endpoint.steal(campaign, budget, first_key=key, progress=part)
        except Exception as error:  # whatever it is, it is told in the results
            failed[which] = error
        key += adversary.n_clients
    return Asked(benign, stolen, failed)


def copied(ground: Ground, cell: Cell, asked: Asked, *, progress: Reporter) -> CellResult:
    """Train a cell's copy on its part of what was answered, and measure it."""
    started = monotonic()
    stolen = asked.stolen[asking(cell)].first(cell.budget)
    plan = training_of(cell.surrogate.training, cell.victim)
    student = Student(cell.surrogate.architecture, plan, cell.surrogate.weights)
    copy = copy_victim(stolen, adversary=plugins(cell)[1], student=student, seed=cell.seed + 1, progress=progress)
    test, labels = ground.images.pixels["test"], ground.images.labels["test"]
    logits, victim = predict(copy, test), ground.trained.test
    whole = Answers(logits, victim, labels, len(ground.images.classes))
    chosen_by, told = whole.by_half(seed=cell.seed)
    return CellResult(
        id=cell.id,
        victim=cell.victim.name,
        surrogate=cell.surrogate.name,
        detector=cell.detector.label if cell.detector else None,
        policy=cell.policy.label,
        attack=cell.attack.label,
        adversary=cell.adversary.label,
        budget=cell.budget,
        seed=cell.seed,
        n_asked=len(stolen),
        n_answered=int((stolen.answers.sum(axis=1) > 0).sum()),
        n_flagged=ground.n_flagged(stolen.queries.pixels) if cell.detector else None,
        surrogate_accuracy=balanced_accuracy(logits, labels),
        **whole.measures(seed=cell.seed).model_dump(),
        benign_accuracy=_benign_accuracy(asked.benign, ground),
        benign_flagged=ground.n_flagged(test) if cell.detector else None,
        benign_n=len(labels),
        answers=answer_counts(stolen.answers),
        recalls=by_class(logits, labels),
        seconds=round(monotonic() - started, 1),
        chosen_by=None if chosen_by is None else chosen_by.recovery,
        told=told,
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """What copy and victim say, (n, k) each, of test images of these labels (n,)."""

    copy: Floats
    victim: Floats
    labels: Ints
    n_classes: int

    def by_half(self, *, seed: int) -> tuple[Measures, Measures] | tuple[None, None]:
        """Return what the half that chooses says, then the other; nothing if they are so small that the victim has none right."""
        chooses = choosing_half(self.labels, seed=seed)
        right = self.victim.argmax(axis=1) == self.labels
        if not (right[chooses].any() and right[~chooses].any()):
            return None, None
        return self._of(chooses).measures(seed=seed), self._of(~chooses).measures(seed=seed)

    def _of(self, which: Bools) -> "Answers":
        return Answers(self.copy[which], self.victim[which], self.labels[which], self.n_classes)

    def measures(self, *, seed: int) -> Measures:
        """InvalidInputError if the victim is never right: nothing could be recovered of it."""
        accuracy, own = (balanced_accuracy(answers, self.labels) for answers in (self.copy, self.victim))
        hits = (answers.argmax(axis=1) == self.labels for answers in (self.copy, self.victim))
        columns, chance = (*hits, self.labels), 1 / self.n_classes
        above = own > chance
        return Measures(
            recovery=recovery(accuracy, own),
            recovery_interval=recovery_interval(*columns, seed=seed),
            net_recovery=net_recovery(accuracy, own, chance=chance) if above else None,
            net_recovery_interval=net_recovery_interval(*columns, chance=chance, seed=seed) if above else None,
            fidelity=fidelity(self.copy, self.victim),
        )


def _benign_accuracy(benign: Floats, ground: Ground) -> float:
    """Return a customer's balanced accuracy; a refused row is a wrong one."""
    refused = (benign.sum(axis=1) <= 0).astype(np.float32)
    return balanced_accuracy(np.column_stack([benign, refused]), ground.images.labels["test"])


def _part(progress: Reporter, number: int, n: int) -> Reporter:
    """Return a reporter for one of n equal parts."""
    return lambda done, total: progress(int(1000 * (number + done / total)), 1000 * n)


def detector_key(detector: Plugin | None) -> str:
    """Return a name for files of the bundle that has a detector."""
    return detector.label if detector else "none"
