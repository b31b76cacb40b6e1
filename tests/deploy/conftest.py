"""One gateway and one Prometheus for all tests of this room that look at live metrics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import Watched, watching


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, prometheus: Path) -> Iterator[Watched]:
    with watching(tmp_path_factory.mktemp("watched"), prometheus) as found:
        yield found
