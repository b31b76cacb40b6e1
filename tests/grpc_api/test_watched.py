"""Files that change: read again, and never for the worse."""

from pathlib import Path

from grpc_api.watched import Watched
from guard.errors import ConfigError


def reader(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        raise ConfigError("no number") from None


def watch(path: Path, every_s: float = 0) -> Watched[int]:
    path.write_text("1")
    return Watched((path,), lambda: reader(path), every_s=every_s)


def test_change_is_read(tmp_path: Path) -> None:
    watched = watch(tmp_path / "n")
    assert watched.value == 1
    (tmp_path / "n").write_text("22")
    assert watched.value == 22


def test_file_that_takes_the_place_of_another_is_read(tmp_path: Path) -> None:
    watched = watch(tmp_path / "n")
    (tmp_path / "new").write_text("3")
    (tmp_path / "new").replace(tmp_path / "n")
    assert watched.value == 3


def test_what_cannot_be_read_leaves_what_stood_and_the_next_good_one_is_taken(tmp_path: Path) -> None:
    watched = watch(tmp_path / "n")
    for bad in ("x", None):
        if bad is None:
            (tmp_path / "n").unlink()
        else:
            (tmp_path / "n").write_text(bad)
        assert watched.value == 1
    (tmp_path / "n").write_text("4444")
    assert watched.value == 4444


def test_files_are_left_alone_in_between(tmp_path: Path) -> None:
    watched = watch(tmp_path / "n", every_s=60)
    (tmp_path / "n").write_text("22")
    assert watched.value == 1
