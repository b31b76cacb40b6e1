"""The words that a command's results keep: all that it was given, quoted, and no secret."""

import shlex
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from attack_scene import Scene
from miniature import InProcess
from typer.testing import CliRunner

from evaluation.ledger import read_transfer_set
from evaluation.results import read_results
from knockguard.command_again import command_again


def again(*words: str) -> list[str]:
    """Return what a small command says of its words."""
    app = typer.Typer()

    @app.command(name="do")
    def do(
        context: typer.Context,
        place: str,
        *,
        many: Annotated[list[str] | None, typer.Option()] = None,
        n: int = 3,
        out: Annotated[Path, typer.Option("--out", "-o")] = Path("here"),
        key: str | None = None,
        force: bool = False,
    ) -> None:
        print(command_again(context, {"key": "KEY", "force": None}))

    done = CliRunner().invoke(app, words, prog_name="do")
    assert done.exit_code == 0, done.output
    return shlex.split(done.stdout)


def test_only_what_was_given_is_said() -> None:
    assert again("a place") == ["knockguard", "do", "a place"]


def test_each_option_is_said_by_its_name_with_its_value() -> None:
    given = ["--many", "a=1", "--n", "5", "-o", "it's here", "--many", "b=$HOME"]
    told = ["--many", "a=1", "--many", "b=$HOME", "--n", "5", "--out", "it's here"]
    assert again("x", *given) == ["knockguard", "do", "x", *told]


def test_secret_is_not_said_nor_what_becomes_of_another_run() -> None:
    assert again("x", "--key", "hidden", "--force") == ["knockguard", "do", "x", "--key", "KEY"]


def test_attack_is_made_again_by_the_words_in_its_results(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    given = ["--attack", "mixture", "--attack-option", "share=0.25", "--adversary", "labels-only", "--seed", 3, "--queries", 24]
    done = knockguard(*scene.words(tmp_path / "the first", *given, "--json"))
    assert done.code == 0, done.err
    first = tmp_path / "the first"
    command = read_results(first).command
    assert "--force" not in command
    first.rename(tmp_path / "kept")
    done = knockguard(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    kept, made = read_results(tmp_path / "kept"), read_results(first)
    assert made.command == command
    assert (made.settings, made.policies) == (kept.settings, kept.policies)
    asked = [read_transfer_set(folder / "transfer.npz").queries.pixels for folder in (tmp_path / "kept", first)]
    np.testing.assert_array_equal(*asked)
