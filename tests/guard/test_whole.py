"""Whole or not there, whenever an interrupt comes."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from guard.whole import write_folder, write_whole

_MOST_LINES = 200


def interrupted_at(nth: int) -> Any:
    """Return a trace function that raises KeyboardInterrupt at the n-th line of `guard.whole` that is run."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith("guard/whole.py"):
            return None
        if event == "line":
            lines += 1
            if lines == nth:
                raise KeyboardInterrupt
        return trace

    return trace


# Between the last line of a `with` and its end Python itself leaves the file to be closed by its collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("what", ["new folder", "replaced folder", "file"])
def test_interrupt_at_any_line_leaves_the_old_or_the_new_and_nothing_beside(what: str, tmp_path: Path) -> None:
    traced = sys.gettrace()
    for nth in range(1, _MOST_LINES):
        place = tmp_path / str(nth) / "b"
        place.parent.mkdir()
        if what == "replaced folder":
            write_folder(place, {"a": b"old", "in/b": b"old"})
        sys.settrace(interrupted_at(nth))
        try:
            if what == "file":
                write_whole(place, b"new")
            else:
                write_folder(place, {"a": b"new", "in/b": b"new"}, last="a")
        except KeyboardInterrupt:
            finished = False
        else:
            finished = True
        finally:
            sys.settrace(traced)
        assert [path.name for path in place.parent.iterdir()] in ([], ["b"]), f"something stayed after line {nth}"
        found = {path.read_bytes() for path in (place, *place.rglob("*")) if path.is_file()}
        if finished:
            assert found == {b"new"}
            assert nth > 5, "nothing was interrupted"
            return
        assert found in ([{b"old"}, {b"new"}] if what == "replaced folder" else [set(), {b"new"}])
    pytest.fail("it never ended")
