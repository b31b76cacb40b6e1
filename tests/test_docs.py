"""What the documentation says can be typed, and its tables are the registries'."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from knockguard.cli import app

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "docs", "docs/decisions", "docs/operations")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))


def typed(page: Path) -> list[list[str]]:
    """Return the words of every `knockguard ...` line inside a fence of a page."""
    fences = re.findall(r"^ *```\w*\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = (line.strip().removeprefix(".venv/bin/") for fence in fences for line in fence.splitlines())
    return [line.split() for line in lines if re.match(r"knockguard [a-z]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_shown_exists(page: Path) -> None:
    top = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
    for _, *words in typed(page):
        commands, command = top, None
        while words and commands:  # a group's commands have groups of their own
            name = words.pop(0)
            assert name in commands, f"{page.name} shows `knockguard ... {name}`"
            command = commands[name]
            commands = getattr(command, "commands", {})
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_some_page_shows_each_step_of_the_way() -> None:
    shown = {words[1] for page in PAGES for words in typed(page)}
    assert {"demo", "protect", "serve", "secret", "attack", "report"} <= shown


def test_tables_are_the_registries() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_metric_named_is_declared() -> None:
    files = [ROOT / "grpc_api/telemetry.py", *sorted((ROOT / "grpc_api").glob("*_metrics.py"))]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    declared = set(re.findall(r'"(knockguard_\w+|grpc_server_\w+)"', source))
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = {name.removesuffix("_total") for name in re.findall(r"\b(?:knockguard|grpc_server)_[a-z_]+\b", pages)}
    assert "knockguard_flagged_rows" in named
    assert named <= declared


def test_every_page_is_reached_from_the_index() -> None:
    trees = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs/index.md", ROOT / "docs/decisions/index.md"))
    pages = {p.stem for p in PAGES if p.parent != ROOT and p.stem != "index"}
    assert {p for p in pages if not re.search(rf"^((decisions|operations)/)?{re.escape(p)}$", trees, re.MULTILINE)} == set()
