"""The guard in every server of a process looks for servers that are there already, so its cases have a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("every_server_cases.py")


def test_its_cases_hold_where_no_other_test_has_left_a_server() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
