"""Do an experiment's names and options exist? Asked before anything is trained, not after the first hour."""

from collections.abc import Callable, Iterator
from typing import Any

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.registry import ATTACKS
from evaluation.datasets import DATASETS
from evaluation.experiment_file import Experiment, Plugin
from evaluation.paper_figures import TABLES
from evaluation.plugin_options import options_of
from guard.detectors.registry import DETECTORS
from guard.errors import ConfigError
from guard.policies.registry import POLICIES
from guard.registry import Registry, nearest
from guard.settings import from_options


def check_names(experiment: Experiment, *, served: bool) -> None:
    """ConfigError with every name and option that does not exist, each with the nearest that does.

    With `served` every detector must be one that a gateway can compute.
    """
    if found := problems(experiment, served=served):
        raise ConfigError("; ".join(found))


def problems(experiment: Experiment, *, served: bool) -> list[str]:
    """Return a sentence for each dataset, architecture, plugin, option or table that does not exist, in the file's order."""
    return [str(error) for error in _errors(experiment, served=served)]


def _errors(experiment: Experiment, *, served: bool) -> Iterator[ConfigError]:
    from evaluation.models import architecture  # torch, a second; the rest of this file is quick
    from evaluation.offline.registry import OFFLINE

    names = experiment.names()
    checks: list[tuple[Callable[[str], object], str]] = [(DATASETS.get, "dataset"), (architecture, "architecture")]
    for check, family in checks:
        yield from _raised(check, sorted(names[family]))
    offline = tuple(d for d in experiment.detectors if d.name in set(OFFLINE))
    yield from _plugins(DETECTORS, tuple(d for d in experiment.detectors if d not in offline), "detector")
    yield from _plugins(OFFLINE, offline, "detector")
    for plugin in offline if served else ():
        yield ConfigError(
            f"detector {plugin.name!r} cannot be served: {OFFLINE.get(plugin.name).why}; `knockguard study` measures it"
        )
    yield from _plugins(POLICIES, experiment.policies, "policy")
    yield from _plugins(ATTACKS, experiment.attacks, "attack")
    adversaries = {a.label: a for attack in experiment.attacks for a in experiment.adversaries_of(attack)}
    yield from _plugins(ADVERSARIES, tuple(adversaries.values()), "adversary")
    yield from _twins(experiment)
    for table in experiment.figures:
        if table not in TABLES:
            yield ConfigError(f"the paper has no {table!r}{nearest(table, TABLES)}")


def _raised(check: Callable[[str], object], names: list[str]) -> Iterator[ConfigError]:
    for name in names:
        try:
            check(name)
        except ConfigError as error:
            yield error


def _plugins(registry: Registry[Any], plugins: tuple[Plugin, ...], family: str) -> Iterator[ConfigError]:
    for plugin in plugins:
        try:
            from_options(registry.get(plugin.name), plugin.options, what=f"{family} {plugin.name!r}")
        except ConfigError as error:
            yield error


def _twins(experiment: Experiment) -> Iterator[ConfigError]:
    """Two thieves who ask alike and believe alike are one: their cells would hold the same figures, by construction."""
    seen: dict[tuple[str, str, str], str] = {}
    for attack in experiment.attacks:
        for adversary in experiment.adversaries_of(attack):
            try:
                asks = from_options(ATTACKS.get(attack.name), attack.options, what="").asking
                learns = from_options(ADVERSARIES.get(adversary.name), adversary.options, what="")
            except ConfigError:  # told already
                continue
            told = f"{attack.label} with {adversary.label}"
            if (first := seen.setdefault((asks, learns.name, options_of(learns)), told)) != told:
                yield ConfigError(
                    f"{first!r} and {told!r} ask and learn the same, so their cells would be equal; leave one out, or give one "
                    "of the attacks `adversaries` of its own"
                )
