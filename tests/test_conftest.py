"""CI cannot lose a test quietly: left out for want of images or a server means failed there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

@pytest.mark.data
def test_needs_images(data_folder): ...

@pytest.mark.server
def test_needs_a_server():
    pytest.skip("no server")

@pytest.mark.server
@pytest.mark.xfail(reason="known")
def test_known_failure():
    assert False

def test_unmarked():
    pytest.skip("not for this platform")
"""


def closing_line(folder: Path, *, strict: str) -> str:
    (folder / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    (folder / "test_sample.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  data: d\n  server: s\n")
    environment = {k: v for k, v in os.environ.items() if k != "KNOCKGUARD_DATA"} | {"KNOCKGUARD_CI_STRICT": strict}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("strict", "expected"), [("1", "1 failed, 1 skipped, 1 xfailed, 1 error"), ("0", "3 skipped, 1 xfailed")]
)
def test_a_marked_skip_fails_only_where_strict(tmp_path: Path, strict: str, expected: str) -> None:
    assert closing_line(tmp_path, strict=strict).startswith(expected)
