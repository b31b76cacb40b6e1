"""The smallest experiment, for tests of what a file may say."""

from evaluation.experiment_file import Experiment
from evaluation.experiment_reading import experiment_from, merged

NETWORK = {"architecture": "cnn-small", "training": {"epochs": 1}}
SMALL = {
    "title": "x",
    "victim": {**NETWORK, "name": "V", "set": "cifar10", "size": 32},
    "surrogate": {**NETWORK, "name": "S"},
    "budgets": [100],
}


def small(**changes: object) -> Experiment:
    """Return an experiment of one victim and one copy, with these changes laid over it."""
    return experiment_from(merged(SMALL, changes))
