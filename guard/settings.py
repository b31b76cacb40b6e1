"""Settings that come from outside: one way to read them, one way to say what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from guard.errors import ConfigError
from guard.registry import nearest

T = TypeVar("T")


def explain(error: ValidationError, known: Mapping[str, Any] | None = None) -> str:
    """Return pydantic's complaints as sentences: where, what was given, and for a typo the nearest key.

    Values are shown except under names that may hold a secret; of a whole document or section, none is.
    """
    lines = []
    found = error.errors(include_url=False)
    within = {item["loc"][:n] for item in found for n in range(len(item["loc"]))}
    for item in found:
        if item["type"] == "too_short" and item["loc"] in within:
            continue  # pydantic counts the good members; the bad ones are told
        where = ".".join(str(part) for part in item["loc"]) or "the document"
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"{where}: there is no such key{_nearest_key(item['loc'], known or {})}")
        elif item["type"] == "missing":
            lines.append(f"{where}: it must be given")
        elif "secret" in where or "key" in where or item["type"] == "json_invalid" or isinstance(item["input"], Mapping):
            lines.append(f"{where}: {item['msg']}")
        else:
            lines.append(f"{where}: {item['msg']} (got {str(item['input'])[:80]!r})")
    return "; ".join(lines)


def from_options(kind: type[T], options: Mapping[str, Any], *, what: str) -> T:
    """Fill a dataclass from options that a user wrote; ConfigError names the bad key and the nearest good one."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # every plugin is a dataclass
    if unknown := sorted(set(options) - set(known)):
        hint = nearest(unknown[0], known) if known else "; it takes no options"
        raise ConfigError(f"{what} has no option {unknown[0]!r}{hint}")
    for name, value in options.items():
        if isinstance(value, bool) and "bool" not in str(known[name].type):  # pydantic would read it as 0 or 1
            raise ConfigError(f"{what}: {name} is {str(value).lower()}; it must be a number or a name")
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        raise ConfigError(f"{what}: {explain(error, known)}") from None


def keys_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the keys that a settings model knows, its own and its sections', those as "section.key"."""
    known: dict[str, Any] = {}
    for name, item in model.model_fields.items():
        known[name] = item
        for kind in (item.annotation, *get_args(item.annotation)):  # a section, or several in a tuple
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                known |= {f"{name}.{key}": value for key, value in keys_of(kind).items()}
    return known


def _nearest_key(where: Sequence[int | str], known: Mapping[str, Any]) -> str:
    """Return the end of a message: the nearest key beside a bad one, else the nearest anywhere, with its section."""
    *section, leaf = (part for part in where if isinstance(part, str))
    prefix = "".join(f"{part}." for part in section)
    beside = [key.removeprefix(prefix) for key in known if key.startswith(prefix) and "." not in key.removeprefix(prefix)]
    if get_close_matches(leaf, beside) or not known:
        return nearest(leaf, beside) if known else ""
    leaves = {key.rpartition(".")[2]: key for key in known}
    close = get_close_matches(leaf, leaves, n=1)
    return f"; did you mean {leaves[close[0]]!r}?" if close else nearest(leaf, beside or leaves)
