"""Libraries of others, which come with the `interop` extra and are imported on use."""

from importlib import import_module
from types import ModuleType

from guard.errors import ConfigError


def library(module: str, *, distribution: str) -> ModuleType:
    """Return an imported module; ConfigError with the pip command if its distribution is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise  # it is installed, and something that it needs itself is not
        raise ConfigError(f"{distribution} is not installed: pip install 'knockguard[interop]'") from None
