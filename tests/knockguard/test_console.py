"""What people see: whole lines off a terminal, no colour where it is not wanted, progress that ends."""

import os
import pty
import subprocess
import sys

import pytest

from knockguard import console

STORY = """
from knockguard import console
console._PRINT_EVERY_S = {every}
stages = console.Stages(n_stages=2)
with stages.stage("reading [red]") as progress:
    for done in range(1, 4):
        progress(done, 3)
with stages.stage("writing"):
    pass
console.note("wrote " + "/a/long/path" * 20 + "/[/old]")
console.warn("look at [this]")
console.fail("broken [/off]")
"""
LONG = "wrote " + "/a/long/path" * 20 + "/[/old]"


def tell(every: float = 15, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STORY.format(every=every)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_lines_off_a_terminal_are_whole_and_plain() -> None:
    told = tell()
    assert told.stdout == ""
    first, second, *said = told.stderr.splitlines()
    assert first.startswith("[1/2] reading [red]: 0.")
    assert second.startswith("[2/2] writing: 0.")
    assert said == [LONG, "warning: look at [this]", "error: broken [/off]"]


def test_progress_off_a_terminal_is_a_line_now_and_then_with_the_time_left() -> None:
    lines = tell(every=0).stderr.splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == [f"[1/2] reading [red]: {i} of 3" for i in (1, 2, 3)]
    assert lines[2].endswith(", 0 s left")


def on_terminal(**environment: str) -> str:
    """Tell the story on a terminal of our own and return all that was written there."""
    ours, theirs = pty.openpty()
    settings = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm", **environment}
    with subprocess.Popen([sys.executable, "-c", STORY.format(every=15)], env=settings, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # the other side has closed it
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    return written.decode()


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_ends_with_no_color(environment: dict[str, str], coloured: bool) -> None:
    written = on_terminal(**environment)
    assert ("\x1b[33mwarning:" in written) == coloured
    assert ("\x1b[31merror:" in written) == coloured
    assert LONG in written


def test_stage_that_failed_is_not_counted_as_done() -> None:
    stages = console.Stages(n_stages=1)
    with pytest.raises(ZeroDivisionError), stages.stage("dividing"):
        raise ZeroDivisionError
    assert stages.seconds == {}
    with stages.stage("again"):
        pass
    assert list(stages.seconds) == ["again"]
