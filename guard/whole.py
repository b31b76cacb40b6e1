"""Files and folders that are whole or not there."""

import os
import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp, mkstemp


def obstacle(path: Path, *, folder: bool) -> str | None:
    """Return why nothing can be written to a folder, or as a file, at `path`; None if nothing is seen to be in the way."""
    if path.exists() and path.is_dir() != folder:
        return f"{path} is a {'file' if folder else 'folder'}; give the name of a {'folder' if folder else 'file'}"
    nearest = next(place for place in (path if folder else path.absolute().parent, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        return f"{path} cannot be made: {nearest} is a file"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"{path} cannot be written: {nearest} is closed to you"


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename: a reader, or an interrupt, never meets half a file. Folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = mkstemp(prefix=f".{path.name}-", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        fresh.chmod(0o644)  # mkstemp makes it private; what is written here is meant to be passed on
        fresh.replace(path)
    except BaseException:  # Ctrl-C as well
        fresh.unlink(missing_ok=True)
        raise


def occupied(folder: Path, *, what: str, marker: str, force: bool) -> str | None:
    """Return why a folder may not be written there, None if it may: something exists, and `force` was not given.

    With `force` only a folder that holds its `marker` is replaced: a slip of the hand must not delete somebody's images.
    """
    if not folder.exists():
        return None
    if not force:
        return f"{folder} exists; give another folder, or force to replace the {what} there"
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).is_file()):
        return f"{folder} exists and holds no {marker}, so it is no {what} and is not replaced"
    return None


def write_folder(folder: Path, files: Mapping[str, bytes], *, last: str = "") -> None:
    """Write a whole folder of files, by their relative paths: whatever comes in between, what stood there stays or returns.

    The file `last` is written after the others.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name in sorted(files, key=lambda name: name == last):
            path = fresh / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        fresh.chmod(0o755)
        _put(fresh, folder)
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def left_aside(folder: Path) -> Path | None:
    """Return what a process that was killed between two renames has left of a folder that it was to replace."""
    if folder.exists():
        return None
    return next(folder.parent.glob(f"{escape(_aside(folder))}*/{_REPLACED}"), None)


_REPLACED = "replaced"


def _put(fresh: Path, folder: Path) -> None:
    """Rename a folder into its place. What stood there is moved aside, never deleted before the new one stands."""
    aside = Path(mkdtemp(prefix=_aside(folder), dir=folder.parent))
    old = aside / _REPLACED
    try:
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> str:
    return f".{folder.name}-old-"
