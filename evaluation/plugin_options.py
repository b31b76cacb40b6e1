"""A plugin's options in one line, so that runs with different ones can be told apart."""

import json
from dataclasses import asdict, is_dataclass


def options_of(plugin: object, *, leave_out: tuple[str, ...] = ()) -> str:
    """Return a dataclass's values as JSON with sorted keys; "{}" for a plugin that has none."""
    values = asdict(plugin) if is_dataclass(plugin) and not isinstance(plugin, type) else {}
    return json.dumps({k: v for k, v in values.items() if k not in leave_out}, sort_keys=True)
