"""Real gateways that serve a tiny bundle, each in a process of its own."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import rows_of, write_tiny

from knockguard.gateway_process import RunningGateway
from knockguard.gateway_process import gateway as started

Start = Callable[..., AbstractContextManager[RunningGateway]]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Serve bundles with arguments, as people do on the command line."""
    folder, number = tmp_path_factory.mktemp("gateways"), count()

    def serve(*words: Path | str, **options: Any) -> AbstractContextManager[RunningGateway]:
        bundles = [word for word in words if isinstance(word, Path)]
        arguments = [word for word in words if isinstance(word, str)]
        return started(*bundles, log=folder / f"log-{next(number)}", arguments=arguments, **options)

    return serve


@pytest.fixture(scope="session")
def start_with(tmp_path_factory: pytest.TempPathFactory, start: Start) -> Start:
    """Serve a bundle with settings from a file."""
    folder, number = tmp_path_factory.mktemp("settings"), count()

    def serve(*bundles: Path, **settings: Any) -> AbstractContextManager[RunningGateway]:
        file = folder / f"settings-{next(number)}.toml"
        file.write_text(toml(settings))
        return start(*bundles, "--config", str(file))

    return serve


def toml(table: dict[str, Any], section: str = "") -> str:
    """Return a table of settings as TOML: JSON's values are TOML's, but for tables."""
    own = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, dict))
    inner = ((f"{section}{key}", value) for key, value in table.items() if isinstance(value, dict))
    return own + "".join(f"[{name}]\n{toml(value, f'{name}.')}" for name, value in inner)


@pytest.fixture(scope="session")
def gateway(bundle: Path, start: Start) -> Iterator[RunningGateway]:
    """One gateway for all tests that change nothing of it: label-only on flagged rows."""
    with start(bundle, "--policy", "label-only") as served:
        yield served


@pytest.fixture(scope="session")
def bright() -> Callable[..., np.ndarray]:
    """Images that are flagged: their mean is above .5."""
    return lambda n=1: rows_of(0.95, n)


@pytest.fixture(scope="session")
def dark() -> Callable[..., np.ndarray]:
    """Images that are not."""
    return lambda n=1: rows_of(0.1, n)
