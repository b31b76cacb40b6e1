"""What all rooms' tests share: where real images are, and no silent skips in CI."""

import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("busy")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # no test module has loaded OpenMP yet; see knockguard.cli.main

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: threads of each would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a script: children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

STRICT = "KNOCKGUARD_CI_STRICT"
DATA = "KNOCKGUARD_DATA"
_STRICT_MARKERS = ("data", "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole commands first: their files take longest, and one started last would be waited for alone."""
    items.sort(key=lambda item: item.path.parent.name != "knockguard")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail, where strict, a test that was left out because its images or its server are not there."""
    report = yield
    needs = [marker for marker in _STRICT_MARKERS if item.get_closest_marker(marker)]
    if os.environ.get(STRICT) == "1" and needs and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{STRICT}=1 and a test marked {', '.join(needs)} was left out: {reason}"
    return report


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real images; for tests marked `data`."""
    folder = os.environ.get(DATA)
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{DATA} names no folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """Return the Prometheus program; for tests marked `server`."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on the PATH; Debian's package of that name has it")
    return Path(program)
