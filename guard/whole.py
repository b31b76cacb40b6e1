"""Files that are whole or not there."""

import os
from pathlib import Path
from tempfile import mkstemp


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
