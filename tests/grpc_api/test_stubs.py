"""Stubs: what the .proto files say, and nothing more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "protos/generate.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_stubs_are_current() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed; the dev extra brings it")
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_generator_knows_only_its_one_option() -> None:
    done = generate("--chek")
    assert done.returncode == 1
    assert "usage: python protos/generate.py [--check]" in done.stderr
