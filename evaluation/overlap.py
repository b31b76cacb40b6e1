"""Which of a victim's classes a public set has too, by name: such images would be in and out at once.

Names are compared without case, numbering and punctuation; with WordNet (`evaluation.wordnet`) also by what they mean, and a
mapping file has the last word.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.datasets.files import read_table
from guard.types import Bools

Meanings = Callable[[str], frozenset[str]]  # from a name to what it can mean
_COLUMNS = ("class", "public")
_NUMBER = re.compile(r"^(?:\d+|n\d{8})[.\s_-]+")  # 027.calculator, n02124075_Egyptian_cat


def no_meanings(_name: str) -> frozenset[str]:
    """Return nothing: names are compared as they are spelt."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Overlap:
    """`public` are class names of public sets.

    `mapping` says for some of the victim's classes what they are called there, "" for those that are not there. `meanings` gives
    what names can mean, so that synonyms overlap, and `kinds_of` of what they can be a kind: a dog overlaps with a beagle then.
    """

    public: frozenset[str]
    mapping: Mapping[str, str] = field(default_factory=dict)
    meanings: Meanings = no_meanings
    kinds_of: Meanings = no_meanings

    def classes(self, own: Collection[str]) -> frozenset[str]:
        """Return those of the victim's classes that a public set has too."""
        names = {plain(name) for name in self.public}
        meant, above = (_all(of, self.public) for of in (self.meanings, self.kinds_of))
        return frozenset(name for name in own if self._has(name, names, meant, above))

    def rows(self, own: Collection[str | None]) -> Bools:
        """Return (n,) truths for the classes of n images; an image of no known class overlaps with nothing."""
        found = self.classes({name for name in own if name is not None})
        return np.array([name in found for name in own], np.bool_)

    def _has(self, name: str, names: Collection[str], meant: frozenset[str], above: frozenset[str]) -> bool:
        if name in self.mapping:
            return bool(self.mapping[name])
        return plain(name) in names or not (meant | above).isdisjoint(self.meanings(name)) or bool(meant & self.kinds_of(name))


def _all(of: Meanings, names: Collection[str]) -> frozenset[str]:
    return frozenset().union(*(of(name) for name in names))


def plain(name: str) -> str:
    """Return a class name without case, leading number and punctuation: "027.Killer-Whale_101" is "killer whale 101"."""
    return spelt(_NUMBER.sub("", name.strip()))


def spelt(words: str) -> str:
    """Return words without case and punctuation."""
    return " ".join(re.split(r"[\W_]+", words.casefold())).strip()


def imagenet_classes() -> tuple[str, ...]:
    """Return the 1,000 names that torchvision gives with its weights, in ImageNet's order; nothing is downloaded."""
    from torchvision import models  # type: ignore[import-untyped]  # takes a second

    return tuple(models.get_model_weights("resnet18")["IMAGENET1K_V1"].meta["categories"])


def read_mapping(path: Path) -> dict[str, str]:
    """Return class -> public class of a CSV file `class,public`, "" where none; InvalidInputError if it is not one."""
    return {row["class"]: row["public"].strip() for row in read_table(path, _COLUMNS)}
