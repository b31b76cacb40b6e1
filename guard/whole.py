"""Files that are whole or not there."""

import os
from pathlib import Path
from tempfile import mkstemp


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
