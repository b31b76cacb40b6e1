"""Out pools: which public images a detector learns from, and which an adversary asks with. Never a class on both sides.

A detector that has seen an adversary's classes is measured on its memory. So whole classes are put on a side: by the file
`pools.csv` where the data folder has one, else by a seeded draw that gives each side its share of animals and of objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from evaluation.datasets import DATASETS, ImageSet, Split, load
from evaluation.pool_classes import ClassSplit, Kind, Side, is_among
from guard.errors import InvalidInputError

TABLE = "pools.csv"


class By(StrEnum):
    """What is put on a side: whole classes, or single images as Atli et al. did (both sides then know every class)."""

    CLASSES = "classes"
    IMAGES = "images"


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """Which sets, and how they are split. `second` is another source to test on; nothing is ever fitted on it.

    `per_class` bounds how many images of each class are used, all by default. `n_fit` bounds how many of the detector's side fit
    it: a draw in which classes keep their shares.
    `attack_images` is how many a thief has, by default twice the largest budget and at least 4,096; attacks that choose want many
    more than they ask.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # it is read from experiment files as it is

    set: str = "tiny-imagenet-200"
    second: str | None = "imagenet-samples-1000"
    by: By = By.CLASSES
    detector_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    per_class: Annotated[int, Field(ge=1)] | None = None
    n_fit: Annotated[int, Field(ge=1)] = 8_000
    attack_images: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class OutPools:
    """`detector` fits, `attack` asks and tests; `second` only tests, without the classes that the detector knows.

    `near` (animals) and `far` (objects) are the parts of `attack` whose kind is known. `origin` says where the split is from.
    """

    detector: ImageSet
    attack: ImageSet
    near: ImageSet
    far: ImageSet
    second: ImageSet | None
    origin: str

    def without(self, kinds: Sequence[str]) -> "OutPools":
        """Return the pools without the classes that are of these kinds, which are a victim's own and so neither in nor out.

        InvalidInputError if a kind is in no pool.
        """
        sets = [self.detector, *([] if self.second is None else [self.second])]
        names = {name for images in sets for name in images.classes}
        if idle := [kind for kind in kinds if not any(is_among(name, [kind]) for name in names)]:
            raise InvalidInputError(f"own_kinds: no class of the out pools is {idle[0]}; take it out, or look its WordNet id up")
        return replace(
            self,
            detector=without(self.detector, kinds),
            attack=without(self.attack, kinds),
            near=without(self.near, kinds),
            far=without(self.far, kinds),
            second=None if self.second is None else without(self.second, kinds),
        )


def without(images: ImageSet, kinds: Sequence[str]) -> ImageSet:
    """Return a set without the classes that are of these kinds."""
    if not kinds or not images.n_classes:
        return images
    return images.of_classes(frozenset(label for label, name in enumerate(images.classes) if not is_among(name, kinds)))


def load_pools(data: Path, choice: PoolChoice, *, seed: int) -> OutPools:
    """Return the pools of a data folder; InvalidInputError if a set is missing or a class would stand on both sides."""
    whole = _training_split(choice.set, data)
    if choice.per_class is not None:
        whole = whole.per_class(choice.per_class, seed=seed)
    second = load(choice.second, data, Split.TEST) if choice.second else None
    sets = [whole] if second is None else [whole, second]
    if choice.by is By.IMAGES:
        sides = whole.divide({"detector": choice.detector_share, "attack": 1 - choice.detector_share}, seed=seed)
        drawn = ClassSplit.drawn(sets, detector_share=choice.detector_share, seed=seed)
        near, far = (sides["attack"].of_classes(drawn.labels(choice.set, kind=kind)) for kind in (Kind.ANIMAL, Kind.OBJECT))
        return OutPools(
            sides["detector"], sides["attack"], near, far, second, "drawn image by image; both sides know every class"
        )
    split, origin = _class_split(data, sets, choice, seed=seed)
    split.check()
    attack = split.labels(choice.set, side=Side.ATTACK)
    pools = OutPools(
        detector=whole.of_classes(split.labels(choice.set, side=Side.DETECTOR)),
        attack=whole.of_classes(attack),
        near=whole.of_classes(attack & split.labels(choice.set, kind=Kind.ANIMAL)),
        far=whole.of_classes(attack & split.labels(choice.set, kind=Kind.OBJECT)),
        second=_tested(second, split),
        origin=origin,
    )
    for side, pool in (("detector", pools.detector), ("attack", pools.attack)):
        if not len(pool):
            raise InvalidInputError(
                f"{choice.set}: no image fell to the {side}'s side of {len(whole)} ({origin}); give more classes"
            )
    return pools


def _class_split(data: Path, sets: list[ImageSet], choice: PoolChoice, *, seed: int) -> tuple[ClassSplit, str]:
    """The file decides if it speaks of the pool's set; a file about other sets decides nothing."""
    if (path := data / TABLE).is_file():
        split = ClassSplit.read(path)
        if split.knows(choice.set):
            for images in sets:
                split.check_names(images)
            return split, f"by {TABLE}"
    return ClassSplit.drawn(sets, detector_share=choice.detector_share, seed=seed), f"drawn by class, seed {seed}"


def _tested(second: ImageSet | None, split: ClassSplit) -> ImageSet | None:
    """Leave out what shares a class with the detector. An unlabelled set stays whole: it has no classes to share."""
    if second is None or not second.n_classes:
        return second
    return second.of_classes(split.labels(second.name, side=Side.TEST))


def _training_split(name: str, data: Path) -> ImageSet:
    """A pool that is published for tests only may still be asked with, but a set with a training split gives that."""
    splits = DATASETS.get(name).splits
    return load(name, data, Split.TRAIN if Split.TRAIN in splits else Split.TEST)
