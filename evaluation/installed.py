"""Images that install with other packages, found through the installer's own record: nothing of the package is imported."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from guard.errors import ConfigError
from guard.images import MAX_PIXELS, decode
from guard.types import Pixels

_REMEDY = "pip install 'knockguard[demo]'"


def installed_files(distribution: str, *suffixes: str) -> list[Path]:
    """Return a distribution's files that end in one of `suffixes`, sorted; ConfigError with the pip command if there is none."""
    try:
        recorded = files(distribution) or []
    except PackageNotFoundError:
        raise ConfigError(f"the demo's images need the package {distribution}, which is not installed: {_REMEDY}") from None
    found = sorted(Path(str(file.locate())) for file in recorded if str(file).endswith(suffixes))
    found = [path for path in found if path.is_file()]
    if not found:
        raise ConfigError(f"{distribution} is installed without its {' or '.join(suffixes)}: {_REMEDY} --force-reinstall")
    return found


def installed_file(distribution: str, suffix: str) -> Path:
    """Return the first of a distribution's files that end in `suffix`; ConfigError as above."""
    return installed_files(distribution, suffix)[0]


def picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return an installed picture as (height, width, 3) uint8 RGB; InvalidInputError if it cannot be read."""
    return decode(path.read_bytes(), name=path.name, max_pixels=max_pixels)
