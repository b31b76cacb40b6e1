"""Settings that come from outside: one way to read them, one way to say what is wrong with them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from guard.errors import ConfigError
from guard.registry import nearest

T = TypeVar("T")


def explain(error: ValidationError, known: Mapping[str, Any] | None = None) -> str:
    """Return pydantic's complaints as sentences: where, what was given, and for a typo the nearest key.

    Values are shown except under names that may hold a secret.
    """
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "the document"
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            names = known or {}
            lines.append(f"{where}: there is no such key{nearest(str(item['loc'][-1]), names) if names else ''}")
        elif "secret" in where or "key" in where:
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
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        raise ConfigError(f"{what}: {explain(error, known)}") from None


def keys_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the keys that a settings model knows, its own and its children's."""
    known: dict[str, Any] = {}
    for name, item in model.model_fields.items():
        known[name] = item
        if isinstance(item.annotation, type) and issubclass(item.annotation, BaseModel):
            known |= keys_of(item.annotation)
    return known
