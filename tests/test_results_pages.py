"""Pages of results are what their scripts make of the committed results."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_detection_page_is_current() -> None:
    script = ROOT / "docs" / "results_detection.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
