"""Places that a command will write to: refused before the work, not after it."""

from pathlib import Path

import typer


def writable_folder(path: Path | None) -> Path | None:
    """Return a folder's path; a usage error if nothing can be written there."""
    return path and _writable(path, folder=True)


def writable_file(path: Path | None) -> Path | None:
    """Return a file's path; a usage error if it cannot be written."""
    return path and _writable(path, folder=False)


def _writable(path: Path, *, folder: bool) -> Path:
    from guard.whole import obstacle

    if why := obstacle(path, folder=folder):
        raise typer.BadParameter(why)
    return path
