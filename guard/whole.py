"""Files and folders that are whole or not there."""

import os
import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path, PurePosixPath
from secrets import token_hex


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
    fresh = _unused(path.parent, f".{path.name}-")
    try:
        # Private until it is whole; what is written here is meant to be passed on.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        fresh.chmod(0o644)
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
    fresh, aside = _unused(folder.parent, f".{folder.name}-"), _unused(folder.parent, _aside(folder))
    old = aside / _REPLACED
    try:
        fresh.mkdir(0o700)
        for name in sorted(files, key=lambda name: name == last):
            path = fresh / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        fresh.chmod(0o755)
        if folder.exists():  # moved, and not deleted before the new one stands
            aside.mkdir(0o700)
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    except BaseException:  # Ctrl-C as well
        if fresh.exists() and old.exists() and not folder.exists():
            old.rename(folder)
        if not (fresh.exists() and old.exists()):  # else somebody else's folder stands there by now, and the old one is kept
            shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def left_aside(folder: Path) -> Path | None:
    """Return what a process that was killed between two renames has left of a folder that it was to replace."""
    if folder.exists():
        return None
    return next(folder.parent.glob(f"{escape(_aside(folder))}*/{_REPLACED}"), None)


_REPLACED = "replaced"


def _unused(folder: Path, prefix: str) -> Path:
    """Return a name that nothing has.

    It is known before anything is made there, so that whenever an interrupt comes, what it leaves can be found and removed.
    """
    return folder / f"{prefix}{token_hex(4)}"


def _aside(folder: Path) -> str:
    return f".{folder.name}-old-"
