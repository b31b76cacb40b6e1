"""Balanced: ask so that every class of the victim's gets its share of the answers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.informed import Informed, View
from guard.types import Ints


@dataclass(frozen=True, slots=True)
class Balanced(Informed):
    """Ask for the class that was answered least so far, with the image that a rough copy finds likeliest to be of it.

    On a pool unlike the victim's domain the answers collapse on few classes, and the copy never learns the rest. Counted are
    top labels of the answers, and what is expected of the images chosen in this turn.
    Source: Atli et al., section 5.3, as a conjecture of what a realistic adversary does; the choice by a copy is ours.
    """

    name: ClassVar[str] = "balanced"

    def pick(self, view: View, n: int) -> Ints:
        p = view.candidates.astype(np.float64)
        answers = view.asked.answers
        said = answers[answers.sum(axis=1) > 0]
        counts = np.bincount(said.argmax(axis=1), minlength=p.shape[1]).astype(np.float64)
        free = np.ones(len(p), np.bool_)
        chosen = np.empty(n, np.int64)
        for i in range(n):
            likeliest = np.where(free, p[:, counts.argmin()], -1).argmax()
            free[likeliest] = False
            counts += p[likeliest]
            chosen[i] = likeliest
        return chosen
