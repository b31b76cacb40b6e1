"""What is shipped, and what a newcomer copies from the README."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = {"knockguard", "guard", "exporters", "grpc_api", "evaluation", "protos"}


def project() -> dict[str, Any]:
    """Return pyproject.toml's [project]."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    (built,) = folder.glob("*.whl")
    return ZipFile(built).namelist()


def test_wheel_holds_exactly_the_rooms(wheel: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == ROOMS


def test_wheel_holds_every_file_that_the_code_opens(wheel: list[str]) -> None:
    needed = {"evaluation/report.css", *(f"{room}/py.typed" for room in ROOMS - {"protos"})}
    assert needed <= set(wheel)
    assert not [name for name in wheel if "test" in Path(name).stem.split("_") or name.endswith((".pyc", ".parquet", ".onnx"))]


def blocks() -> list[tuple[str, list[str]]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(kind, body.splitlines()) for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def test_readme_opens_with_the_demo_and_the_tests() -> None:
    (first, demo), (second, tests) = blocks()[:2]
    assert (first, second) == ("sh", "sh")
    assert demo[0].startswith("python3 -m venv")
    assert demo[-1] == ".venv/bin/knockguard demo"
    assert tests[-1] == ".venv/bin/python -m pytest"


def test_readme_installs_extras_that_exist() -> None:
    extras = project()["optional-dependencies"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:knockguard|\.)\[(\w+)\]", text))
    assert {"demo", "dev"} <= named <= extras.keys()


def installed_without_extras() -> set[str]:
    """Return the distributions that `pip install .` brings, by normalised name; pyproject.toml is the start."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in project()["dependencies"]]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in distribution(name).requires or []]
    return found


def test_serving_imports_only_what_comes_without_extras() -> None:
    code = "import sys, knockguard.cli, knockguard.serving; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    modules = set(done.stdout.split())
    owners, brought = packages_distributions(), installed_without_extras()
    # `google` is one namespace of two distributions, `_distutils_hack` is there before any import of ours, and `grpc` imports
    # `grpc_tools`, and `rich` imports `attr`, where they happen to be installed.
    happen = {"google", "_distutils_hack", "grpc_tools", "attr", "attrs"}
    tops = {module.partition(".")[0] for module in modules} - happen - set(ROOMS)
    foreign = {top for top in tops if top in owners and not {canonicalize_name(o) for o in owners[top]} & brought}
    assert foreign == set()
    assert "googleapis-common-protos" in brought or not any(module.startswith("google.rpc") for module in modules)
