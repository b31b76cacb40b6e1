"""How a command ends: each error has a code and a sentence, and what nobody foresaw says that it is a bug."""

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from guard.errors import KnockguardError, QuotaExceededError
from knockguard.exits import ANSWER_IS_NO, EXITS, INPUT_REFUSED, OUR_FAULT, USAGE, ending, exit_code


def below(kind: type[KnockguardError]) -> Iterator[type[KnockguardError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from below(child)


@pytest.mark.parametrize("kind", sorted(below(KnockguardError), key=lambda k: k.__name__))
def test_each_error_of_the_tree_has_a_code_and_says_its_message(kind: type[KnockguardError]) -> None:
    error = QuotaExceededError("why", retry_after_s=1.0) if kind is QuotaExceededError else kind("why")
    assert ending(error) == ("why", exit_code(error))
    assert exit_code(error) in set(EXITS.values())
    assert exit_code(error) != OUR_FAULT or kind is KnockguardError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), USAGE, "cannot use /a/b (Permission denied)"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", b"/a/b"), USAGE, "cannot use /a/b (Not a directory)"),
        (ModuleNotFoundError("no", name="sklearn.linear_model"), USAGE, "pip install 'knockguard[protect]'"),
        (MemoryError(), OUR_FAULT, "--limit"),
        (ModuleNotFoundError("No module named 'guardd'", name="guardd"), OUR_FAULT, "this is a bug in knockguard"),
        (OSError("something"), OUR_FAULT, "this is a bug in knockguard"),
        (KeyError("penultimate"), OUR_FAULT, "KeyError: 'penultimate'"),
    ],
)
def test_foreign_error_becomes_a_sentence(error: Exception, code: int, said: str) -> None:
    message, found = ending(error)
    assert (found, said in message) == (code, True), message
    assert "\n" not in message


BROKEN = """
import sys
from knockguard.cli import app, main

@app.command()
def broken() -> None:
    raise ZeroDivisionError("a slip")

sys.argv = ["knockguard", "broken"]
main()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_bug_is_told_in_a_sentence_and_its_traceback_only_on_request(debug: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if debug:
        monkeypatch.setenv("KNOCKGUARD_DEBUG", "1")
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (OUR_FAULT, "")
    assert "this is a bug in knockguard" in done.stderr
    assert "ZeroDivisionError at <string>:7: a slip" in done.stderr
    assert ("Traceback" in done.stderr) == debug


def test_codes_are_those_of_the_documentation() -> None:
    assert (OUR_FAULT, USAGE, INPUT_REFUSED, ANSWER_IS_NO) == (1, 2, 3, 5)
