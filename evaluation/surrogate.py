"""From a transfer set to the copy: an adversary's lesson, an architecture, and the one training loop."""

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock

from torch import nn

from evaluation.adversaries.base import Adversary
from evaluation.models import build, placed
from evaluation.optimiser import Weights
from evaluation.training import Training, train
from evaluation.transfer import TransferSet
from guard.types import Reporter


@dataclass(frozen=True, slots=True)
class Student:
    """What the copy is made of. The adversary does not know the victim's architecture, and need not."""

    architecture: str = "cnn-small"
    training: Training = field(default_factory=Training)
    weights: Weights = Weights.NONE


def copy_victim(stolen: TransferSet, *, adversary: Adversary, student: Student, seed: int, progress: Reporter) -> nn.Module:
    """Return a surrogate trained on what `adversary` makes of the answers; the same arguments give the same copy.

    Whoever is left with fewer than two answers has learned nothing: the surrogate is then as it was built.
    """
    (model,) = copy_side_by_side([(stolen, seed)], adversary=adversary, student=student, n_at_once=1, progress=progress)
    return model


def copy_side_by_side(
    plan: Sequence[tuple[TransferSet, int]], *, adversary: Adversary, student: Student, n_at_once: int, progress: Reporter
) -> list[nn.Module]:
    """Return a surrogate for each (answers, seed), `n_at_once` trained at a time, each on a thread of its own.

    They are the same ones that training one after the other gives. An interrupt ends all of them within a step.
    """
    lessons = [adversary.lesson(stolen) for stolen, _ in plan]
    # Built here: first weights come from PyTorch's global random state, which threads would share.
    models = [
        placed(build(student.architecture, n_classes=stolen.n_classes, seed=seed, weights=student.weights))
        for stolen, seed in plan
    ]
    sofar = _Progress([len(lesson) for lesson in lessons], progress)

    def learn(number: int) -> nn.Module:
        lesson, model, (_, seed) = lessons[number], models[number], plan[number]
        if len(lesson) < 2:
            return model.eval()
        step = partial(sofar.step, number)
        return train(model, lesson.pixels, lesson.targets, training=student.training, seed=seed, progress=step)

    with ThreadPoolExecutor(n_at_once) as threads:
        futures = [threads.submit(learn, number) for number in range(len(plan))]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()  # raises what went wrong in one of them
        finally:
            sofar.stopped.set()
            threads.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


class _Progress:
    """One report of several trainings, each weighing as much as it has images."""

    def __init__(self, weights: Sequence[int], report: Reporter) -> None:
        self.stopped = Event()
        self._weights = weights
        self._shares = [0.0] * len(weights)
        self._report = report
        self._lock = Lock()

    def step(self, number: int, done: int, total: int) -> None:
        """Take one training's (done, total); raises to end that training when all are to stop."""
        if self.stopped.is_set():
            raise InterruptedError("training was stopped")
        with self._lock:
            self._shares[number] = done / total * self._weights[number]
            self._report(int(1000 * sum(self._shares) / max(1, sum(self._weights))), 1000)
