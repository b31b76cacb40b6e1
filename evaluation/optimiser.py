"""How weights move, by name; apart from the training loop, so that files can be read without PyTorch."""

from enum import StrEnum


class Optimiser(StrEnum):
    """The optimisers that an experiment may name."""

    SGD = "sgd"
    ADAM = "adam"
    ADAMW = "adamw"


class Weights(StrEnum):
    """What a network starts from: another set's weights, or nothing."""

    IMAGENET = "imagenet"
    NONE = "none"
