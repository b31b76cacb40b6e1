"""Averaging: ask about near-duplicates of each image, and believe the mean of what they agree on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Lesson
from evaluation.adversaries.disguise import Disguise
from evaluation.sketch import rows_of
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError
from guard.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Averaging(Disguise):
    """Ask `copies` times about each image, changed by up to `levels` grey levels, and learn from the mean answer.

    The first copy is the image itself; the others add a pattern each, the same for all images. An image is left out when no
    top label is given to more than `agreement` of its copies: a victim hardly changes its mind over such changes, so
    somebody else did. Noise that is drawn anew for each copy averages out, and a row that is flagged in some of
    its copies only is told by the others. What a mean cannot do: rows shuffled in all of their copies average to the even
    answer, which says nothing, so they are found and dropped and not restored; labels that come without values stay labels.

    Near-duplicates are found by their place: neighbours of one source, `copies` at a time, as `expand` puts them and whatever
    whoever is behind does to their pixels. So images of a pool that were asked plainly are believed as they are.
    Source: the design is ours.
    """

    name: ClassVar[str] = "averaging"
    copies: int = 5
    levels: int = 2
    agreement: float = 0.5

    def __post_init__(self) -> None:
        if self.copies < 2 or not 1 <= self.levels <= 255 or not 0 <= self.agreement < 1:
            raise ConfigError(
                f"copies {self.copies}, levels {self.levels}, agreement {self.agreement}: at least 2, from 1 to 255, "
                "at least 0 and below 1"
            )

    @property
    def n_copies(self) -> int:
        return self.copies * self.behind.n_copies

    def expand(self, queries: Queries) -> Queries:
        sources = queries.sources.repeat(self.copies)
        patterns = self._patterns(queries.pixels.shape[1:])
        varied = np.clip(queries.pixels[:, None].astype(np.int16) + patterns, 0, 255).astype(np.uint8)
        return self.behind.expand(Queries(varied.reshape(-1, *queries.pixels.shape[1:]), sources))

    def heard(self, asked: TransferSet) -> TransferSet:
        """Return one row for each image, the first of its copies, with the mean answer; zeros where no copy was answered."""
        return self._means(self.behind.heard(asked))[0]

    def prepare(self, stolen: TransferSet) -> Lesson:
        means, agreed = self._means(self.behind.heard(stolen))
        return self.behind.prepare(rows_of(means, agreed))

    def _patterns(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return (copies, h, w, 3) int16 changes, the first of them none."""
        patterns = np.random.default_rng(0).integers(-self.levels, self.levels, (self.copies, *shape), np.int16, endpoint=True)
        patterns[0] = 0
        return patterns

    def _means(self, asked: TransferSet) -> tuple[TransferSet, Bools]:
        """Return the first copies with their mean answers, and (n,) whether the copies agree."""
        runs = list(self._runs(asked.queries.sources))
        told = [_mean(asked.answers[run]) for run in runs]
        answers = np.array([mean for mean, _ in told], np.float32).reshape(len(runs), asked.n_classes)
        agreed = np.array([share > self.agreement for _, share in told], np.bool_)
        firsts = rows_of(asked, np.array([run.start for run in runs], np.int64))
        return TransferSet(firsts.queries, answers), agreed

    def _runs(self, sources: Ints) -> Iterator[slice]:
        """Yield the rows of each image: neighbours of one source, at most `copies`."""
        start = 0
        for row in range(1, len(sources) + 1):
            if row == len(sources) or row - start == self.copies or sources[row] != sources[start]:
                yield slice(start, row)
                start = row


def _mean(answers: Floats) -> tuple[Floats, float]:
    """Return the mean (k,) of those (n, k) answers that say something, and the share of them with the commonest top label."""
    said = answers[answers.sum(axis=1) > 0]
    if not len(said):
        return np.zeros(answers.shape[1], np.float32), 0.0
    votes = np.bincount(said.argmax(axis=1))
    return np.asarray(said.mean(axis=0), np.float32), float(votes.max() / len(said))
