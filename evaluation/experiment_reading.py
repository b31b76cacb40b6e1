"""From a TOML file to an experiment.

    extends = "base.toml"          # a file beside this one; what is written here wins
    title = "Table 2: recovery without a defence"
    [victim]                       # what all [[victims]] share; alone, it is the only one
    size = 224
    [own_kinds]                    # by set, for victims that name none of their own
    cifar10 = ["n02085620-n02113978"]
    [[victims]]
    name = "CIFAR10-RN34"
    set = "cifar10"

Tables are merged key by key and lists are replaced whole, except `differs`, which is added to; last, where there are figures to
differ from, by what the matched chain makes different.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from evaluation.client_limits import ClientLimits
from evaluation.datasets import DATASETS
from evaluation.experiment_file import ChainPlan, Experiment, Policy, Shares, Surrogate, Training, Victim
from evaluation.pools import PoolChoice
from guard.errors import ConfigError
from guard.settings import explain
from guard.toml_file import read_toml

_SHARED = {"victims": "victim", "surrogates": "surrogate"}
_MAX_DEPTH = 8
_MATCHED = "Here both sides go through the matched chain: without it a detector reads size and JPEG history."
_MODELS: tuple[type[BaseModel], ...] = (Experiment, Victim, Surrogate, Training, Shares, Policy, ChainPlan, ClientLimits)


def read_experiment(path: Path) -> Experiment:
    """Return what a file says; ConfigError names the file, the key, and for a typo the nearest key that there is."""
    try:
        return experiment_from(_extended(path, depth=0))
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def experiment_from(document: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a parsed document whose `extends` is resolved; ConfigError says what is wrong with it."""
    whole = dict(document)
    for plural, singular in _SHARED.items():
        shared, members = whole.pop(singular, {}), whole.get(plural)
        if members is None and shared:
            members = [{}]
        if not isinstance(shared, dict) or not isinstance(members or [], list):
            raise ConfigError(f"[{singular}] must be a table and [[{plural}]] a list of tables")
        whole[plural] = [merged(shared, m) if isinstance(m, dict) else m for m in members or []]
    whole["victims"] = _with_own_kinds(whole["victims"], whole.pop("own_kinds", {}))
    try:
        experiment = Experiment.model_validate(whole)
    except ValidationError as error:
        raise ConfigError(explain(error, dict.fromkeys(_keys()))) from None
    if not (experiment.chain.matched and experiment.figures):
        return experiment
    return experiment.model_copy(update={"differs": (*experiment.differs, _MATCHED)})


def _with_own_kinds(victims: list[Any], of_sets: Any) -> list[Any]:
    if not isinstance(of_sets, dict):
        raise ConfigError("[own_kinds] must be a table: by set, the WordNet ids of what its classes are")
    for name in of_sets:
        DATASETS.get(name)  # a name that is none would be of no use, and nobody would hear of it
    # Compared, not looked up: what a file calls a set may be a list, and is complained of when it is read as a victim.
    return [{"own_kinds": of_sets[v["set"]]} | v if isinstance(v, dict) and v.get("set") in [*of_sets] else v for v in victims]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `above` laid over `below`: tables key by key, `differs` after what was there, anything else replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = merged(old, value)
        elif key == "differs" and isinstance(old, list) and isinstance(value, list):
            result[key] = [*old, *value]
        else:
            result[key] = value
    return result


def _extended(path: Path, *, depth: int) -> dict[str, Any]:
    document = read_toml(path, whose="the experiment", kind="experiments")
    base = document.pop("extends", None)
    if base is None:
        return document
    if not isinstance(base, str) or Path(base).is_absolute():
        raise ConfigError(f"{path}: extends is {base!r}; it must be the path of a file, relative to this one")
    if depth == _MAX_DEPTH:
        raise ConfigError(f"{path} extends a file that extends a file ... {_MAX_DEPTH} times; look for a circle")
    return merged(_extended(path.parent / base, depth=depth + 1), document)


def _keys() -> set[str]:
    """Every key that a file may hold somewhere, for the nearest one in messages."""
    of_models = {name for model in _MODELS for name in model.model_fields}
    return of_models | {f.name for f in fields(PoolChoice)} | {"extends", *_SHARED.values()}
