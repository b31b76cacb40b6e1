"""Nothing of ours imports ONNX Runtime before it has been told to keep to itself."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = "guard/quiet_runtime.py"
COPIED = "exporters/mlserver_runtime.py"  # runs where MLServer does, without us, and sets the variable itself
ROOMS = ("guard", "exporters", "grpc_api", "evaluation", "knockguard", "examples", "benchmarks")
WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import {module}
"""


def told(module: str, **environment: str) -> list[str]:
    """Import a module in a process of its own; return what the variable was whenever ONNX Runtime was looked for."""
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | environment
    command = [sys.executable, "-c", WATCH.format(module=module)]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True, timeout=60).stdout.split()


@pytest.mark.parametrize("module", ["guard.quiet_runtime", "exporters.runtime", "grpc_api.backends.embedded"])
def test_plain_import_as_a_library_turns_reports_off_first(module: str) -> None:
    assert told(module) == ["1"]


def test_whoever_wants_reports_is_heard() -> None:
    assert told("guard.quiet_runtime", ORT_DISABLE_TELEMETRY="0") == ["0"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_file_imports_onnx_runtime(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        if path.relative_to(ROOT).as_posix() in (HOME, COPIED):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "onnxruntime" not in {n.partition(".")[0] for n in names}, f"{path}: from guard.quiet_runtime import ort"
