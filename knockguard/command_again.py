"""The words that make a run again, from what its command was given."""

import shlex
from collections.abc import Mapping

import typer


def command_again(context: typer.Context, instead: Mapping[str, str | None]) -> str:
    """Return the command with the arguments and options that it was given, quoted for a shell.

    `instead` has what stands in place of some parameters' values, such as a secret's; where that is None they are left out.
    """
    words = ["knockguard", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        value = instead.get(name, context.params.get(name))
        if value is None or source is None or source.name == "DEFAULT":
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [str(one)] if parameter.param_type_name == "argument" else [parameter.opts[0], str(one)]
    return shlex.join(words)
