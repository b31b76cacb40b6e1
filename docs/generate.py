"""Write the tables of plugin families from their registries: `python docs/generate.py`; with --check only compare.

A new detector, policy or attack is a file and a row; this command is what puts it into the documentation.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.registry import ATTACKS
from evaluation.offline.registry import OFFLINE
from grpc_api.settings import GatewaySettings
from guard.detectors.registry import DETECTORS
from guard.policies.registry import POLICIES
from guard.registry import Registry

FOLDER = Path(__file__).parent / "generated"


def detectors() -> str:
    """Return the tables of detectors that are served, and of those that only a study measures."""
    rows = []
    for name in DETECTORS:
        kind = DETECTORS.get(name)
        rows.append((f"`{name}`", summary(kind), ", ".join(kind.taps), yes(kind.needs_out), options(kind), source(kind)))
    served = table(("name", "score", "reads", "needs out images", "options", "source"), rows)
    measured = [(f"`{name}`", summary(k := OFFLINE.get(name)), k.why, options(k), source(k)) for name in OFFLINE]
    return f"{served}\n{table(('measured only', 'score', 'not served because', 'options', 'source'), measured)}"


def policies() -> str:
    """Return two tables: what each policy answers, and the traits that the tests hold it to."""
    answers, promises = [], []
    for name in POLICIES:
        kind, traits = POLICIES.get(name), POLICIES.get(name).traits
        answers.append((f"`{name}`", summary(kind), options(kind), source(kind)))
        kept, genuine, secret = map(yes, (traits.keeps_top_label, traits.looks_genuine, traits.needs_secret))
        promises.append((f"`{name}`", kept, genuine, traits.near_duplicates.value, secret))
    head = ("name", "keeps the top label", "looks genuine", "near-duplicates", "needs a secret")
    return f"{table(('name', 'a row it stands on', 'options', 'source'), answers)}\n{table(head, promises)}"


def attacks() -> str:
    """Return the tables of attacks and of what an adversary does with the answers."""
    asked = table(("attack", "what is asked", "options"), _plain_rows(ATTACKS))
    made = table(("adversary", "what is done with the answers", "options"), _plain_rows(ADVERSARIES))
    return f"{asked}\n{made}"


def _plain_rows(family: Registry[Any]) -> list[Sequence[str]]:
    return [(f"`{name}`", summary(family.get(name)), options(family.get(name))) for name in family]


def settings() -> str:
    """Return the table of a gateway's settings, section by section."""
    head = ("key", "default", "meaning")
    return "\n".join(f"{heading}\n\n{table(head, rows)}" for heading, rows in _sections(GatewaySettings, ""))


def _sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, list[Sequence[str]]]]:
    """Yield the heading and rows of a settings model, its own keys before its sections."""
    nested = {key: item.annotation for key, item in model.model_fields.items() if _is_section(item.annotation)}
    heading = f"`[{name}]`: {summary(model).partition(': ')[2]}" if name else "At the top of the file:"
    own = [(key, item) for key, item in model.model_fields.items() if key not in nested]
    yield heading, [(f"`{key}`", _default(item), item.description or "") for key, item in own]
    for key, kind in nested.items():
        yield from _sections(kind, f"{name}.{key}".lstrip("."))


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(item: FieldInfo) -> str:
    """Return a default as a TOML file has it."""
    return "-" if item.is_required() or item.default is None else f"`{json.dumps(item.default)}`"


PAGES: dict[str, Callable[[], str]] = {
    "detectors.md": detectors,
    "policies.md": policies,
    "attacks.md": attacks,
    "settings.md": settings,
}


def summary(kind: type) -> str:
    """Return the first paragraph's first line of a class's docstring."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


def source(kind: type) -> str:
    """Return what the docstring names as its source, or a dash."""
    _, found, rest = (kind.__doc__ or "").partition("Source: ")
    paragraph = " ".join(rest.partition("\n\n")[0].split())
    return paragraph.rstrip(".") if found else "-"


def options(kind: type) -> str:
    """Return a dataclass's options with their defaults."""
    return ", ".join(_option(f) for f in fields(kind)) or "-" if is_dataclass(kind) else "-"


def _option(option: Field[Any]) -> str:
    if option.default is not MISSING:
        return f"`{option.name}={option.default!r}`"
    return f"`{option.name}`" if option.default_factory is MISSING else f"`{option.name}={option.default_factory()!r}`"


def yes(value: bool) -> str:
    """Return a word for a truth."""
    return "yes" if value else "no"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar in a cell is escaped, and what Markdown would read as emphasis stays as it is."""
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(cell: str) -> str:
    """Return a cell in which only code marks are read as Markdown."""
    parts = cell.replace("|", "\\|").split("`")
    for i in range(0, len(parts), 2):  # every second part stands between code marks
        parts[i] = parts[i].replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")
    return "`".join(parts)


def main() -> int:
    """Write or compare every page; returns 1 if --check found one that is not current."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                FOLDER.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"docs/generated is not current: {', '.join(stale)}; run `python docs/generate.py`", file=sys.stderr)
        return 1
    print(f"docs/generated: {len(PAGES)} tables, {len(stale)} {'stale' if check else 'written'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
