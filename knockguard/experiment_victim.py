"""What an experiment file says of a victim, as the rest of the package takes it: its images, its training, its input."""

from pathlib import Path

from torch import nn

from evaluation.datasets import DATASETS, ImageSet, Split, load
from evaluation.experiment_file import Training as TrainingPlan
from evaluation.experiment_file import Victim
from evaluation.models import build, placed
from evaluation.training import Training, train
from guard.bundle import InputSpec
from guard.types import Ints, Pixels, Reporter

N_SAMPLE = 32  # images that an export is compared on


def own_images(victim: Victim, data: Path, *, seed: int) -> dict[str, ImageSet]:
    """Divide the training split by the file's shares, class by class; `test` is the published test split.

    `n_train` is drawn before the division, so that shares are of what is used. No image and no group of images is in two parts.
    InvalidInputError if the set is missing or too small for its shares.
    """
    whole, test = (load(victim.set, data, split) for split in (Split.TRAIN, Split.TEST))
    whole = whole.sample(victim.n_train or len(whole), seed=seed)
    parts = whole.divide({name: share for name, share in victim.shares.model_dump().items() if share > 0}, seed=seed)
    return parts | {"test": test.sample(victim.n_test or len(test), seed=seed)}


def trained_network(  # noqa: PLR0913  # the victim and its images, then how
    victim: Victim, pixels: Pixels, labels: Ints, *, n_classes: int, seed: int, progress: Reporter
) -> nn.Module:
    """Return the victim's network as its file trains it, in eval mode, from its file's first weights.

    `pixels` (n, size, size, 3) uint8, `labels` (n,) int64. ConfigError if those weights are not to be had.
    """
    model = placed(build(victim.architecture, n_classes=n_classes, seed=seed, weights=victim.weights))
    return train(model, pixels, labels, training=training_of(victim.training, victim), seed=seed, progress=progress)


def training_of(plan: TrainingPlan, victim: Victim) -> Training:
    """Return a file's training as the loop takes it; mirrored where a mirrored image of the victim's set is of the same class."""
    return Training(
        epochs=plan.epochs,
        lr=plan.lr,
        weight_decay=plan.weight_decay,
        batch_size=plan.batch_size,
        flips=DATASETS.get(victim.set).mirrors,
        optimiser=plan.optimiser,
        momentum=plan.momentum,
        drop_every=plan.drop_every,
        drop_to=plan.drop_to,
    )


def spec_of(victim: Victim) -> InputSpec:
    """Say how the exported model takes images: it normalises them itself."""
    return InputSpec(name="image", shape=(3, victim.size, victim.size), layout="NCHW", scale=1 / 255)
