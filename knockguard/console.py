"""What people see: results on stdout, progress and advice on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from guard.types import Reporter

out = Console()
err = Console(stderr=True)

_PRINT_EVERY_S = 15.0


def note(message: str) -> None:
    """Say what happened or what to do next."""
    _say(Text(message))


def warn(message: str) -> None:
    """Say what the user should look at."""
    _say(Text.assemble(("warning:", "yellow"), " ", message))


def fail(message: str) -> None:
    """Say why a command ends without what it was asked for."""
    _say(Text.assemble(("error:", "red"), " ", message))


def _say(text: Text) -> None:
    # Not folded at a width: a path or a command that is broken in two cannot be copied. Nor read as markup: "[old]" is a folder.
    err.print(text, soft_wrap=True)


class Stages:
    """Progress over named stages, and how many seconds each took.

    On a terminal a bar with the time left; elsewhere (a log, CI) one line at the start of a stage and every 15 seconds.
    """

    def __init__(self, *, n_stages: int) -> None:
        self.seconds: dict[str, float] = {}
        self._n_stages = n_stages

    @contextmanager
    def stage(self, name: str) -> Iterator[Reporter]:
        """Run one stage; the yielded callable takes (done, total)."""
        started = monotonic()
        position = f"[{len(self.seconds) + 1}/{self._n_stages}]"
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=err, transient=True, disable=not err.is_terminal,
        ) as progress:  # fmt: skip
            task = progress.add_task(f"{position} {name}", total=None)
            yield _reporter(progress, task, name) if err.is_terminal else _lines(f"{position} {name}")
        self.seconds[name] = round(monotonic() - started, 2)
        note(f"{position} {name}: {self.seconds[name]:.1f} s")


def _reporter(progress: Progress, task: TaskID, _name: str) -> Reporter:
    def report(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)

    return report


def _lines(name: str) -> Reporter:
    started = last = monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = monotonic()
        if now - last >= _PRINT_EVERY_S and done:
            last = now
            left = (now - started) / done * (total - done)
            note(f"{name}: {done} of {total}, {left:.0f} s left")

    return report
