"""Tiny trees in the layouts that the sets' authors publish."""

from pathlib import Path

import pytest
from trees import Put, picture


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write files below the data folder: text as it is, and an image where no text is given."""
    written = iter(range(10**6))

    def write(*names: str, text: str | None = None) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                kind = {".ppm": "PPM", ".png": "PNG"}.get(path.suffix.lower(), "JPEG")
                path.write_bytes(picture(next(written), kind=kind))
            else:
                path.write_text(text, encoding="utf-8")

    return write
