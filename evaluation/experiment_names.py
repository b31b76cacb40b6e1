"""Do an experiment's names and options exist? Asked before anything is trained, not after the first hour."""

from collections.abc import Callable, Iterator
from typing import Any

from evaluation.adversaries.base import Adversary
from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Attack
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

    With `served` every detector must be one that a gateway can compute, and every thief one who can ask.
    """
    if found := problems(experiment, served=served):
        raise ConfigError("; ".join(found))


def problems(experiment: Experiment, *, served: bool) -> list[str]:
    """Return a sentence for each name or option that does not exist, and for each thief who could not ask."""
    return list(dict.fromkeys(str(error) for error in _errors(experiment, served=served)))


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
    if served and experiment.budgets:
        yield from _unable(experiment)
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


def _thieves(experiment: Experiment) -> Iterator[tuple[str, Attack, Adversary]]:
    """Yield what each attack and each adversary that it meets are called, and the two; but for those that are told already."""
    for attack in experiment.attacks:
        for adversary in experiment.adversaries_of(attack):
            try:
                asks = from_options(ATTACKS.get(attack.name), attack.options, what="")
                learns = from_options(ADVERSARIES.get(adversary.name), adversary.options, what="")
            except ConfigError:
                continue
            yield f"{attack.label} with {adversary.label}", asks, learns


def _twins(experiment: Experiment) -> Iterator[ConfigError]:
    """Two thieves who ask alike and believe alike are one: their cells would hold the same figures, by construction."""
    seen: dict[tuple[str, str, str], str] = {}
    for told, asks, learns in _thieves(experiment):
        if (first := seen.setdefault((asks.asking, learns.name, options_of(learns)), told)) != told:
            yield ConfigError(
                f"{first!r} and {told!r} ask and learn the same, so their cells would be equal; leave one out, or give one "
                "of the attacks `adversaries` of its own"
            )


def _unable(experiment: Experiment) -> Iterator[ConfigError]:
    """Thieves who could ask nothing: without images of the victim's own kind, or with more copies than a turn holds."""
    from evaluation.replay import check_turn

    poor = [victim.name for victim in experiment.victims if not victim.shares.adversary]
    for _, asks, learns in _thieves(experiment):
        if asks.needs_inside and poor:
            yield ConfigError(
                f"the {asks.name} attack asks with the victim's own kind of image, and there is none of {', '.join(poor)}; "
                "give [victim.shares] adversary"
            )
        try:
            check_turn(learns)
        except ConfigError as error:
            yield ConfigError(f"adversary {learns.name!r}: {error}")
