"""Results of finished stages, kept by what they were made from, so that a second run repeats only what changed."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from guard.types import Array
from guard.whole import write_whole

ROOMS = ("knockguard", "guard", "exporters", "grpc_api", "evaluation")
TELLING = ("knockguard", "evaluation")  # rooms some of whose files only tell of a result


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of .npz files, one a stage, each named by the stage and by the fingerprint of its inputs."""

    folder: Path
    base: str

    def fingerprint(self, *parts: object) -> str:
        """Return what a stage depends on as 16 hex digits: our code, and everything named."""
        return sha256(repr((self.base, *parts)).encode()).hexdigest()[:16]

    def load(self, stage: str, fingerprint: str) -> dict[str, Array] | None:
        """Return the arrays of a finished stage, or None if there is none or it cannot be read."""
        path = self._path(stage, fingerprint)
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return dict(file)
        except FileNotFoundError:
            return None
        except Exception:  # a damaged cache is no cache; numpy and zipfile raise many kinds
            path.unlink(missing_ok=True)
            return None

    def save(self, stage: str, fingerprint: str, arrays: Mapping[str, Array]) -> None:
        """Write the arrays, whole or not at all, and drop what the stage left for other inputs."""
        buffer = io.BytesIO()
        np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]  # the stub takes a key for allow_pickle
        write_whole(self._path(stage, fingerprint), buffer.getvalue())
        for old in self.folder.glob(f"{stage}-*.npz"):
            if old != self._path(stage, fingerprint) and old.stem.rpartition("-")[0] == stage:  # not those of "stage-more"
                old.unlink()

    def _path(self, stage: str, fingerprint: str) -> Path:
        return self.folder / f"{stage}-{fingerprint}.npz"


def code_fingerprint(*, but: tuple[str, ...] = ()) -> str:
    """Return a hash over our own source files: a result of other code is not reused.

    `but`: what only tells of a result and is passed over, `report` for report.py and report_*.py.
    """
    digest = sha256()
    for room in ROOMS:
        spec = find_spec(room)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(root).rglob("*.py")):
                if not only_tells(room, path.stem, but):
                    digest.update(path.read_bytes())
    return digest.hexdigest()


def only_tells(room: str, stem: str, names: tuple[str, ...]) -> bool:
    """Return whether a file is one of these, or of their families, in a room that tells: grpc_api's client is no cli."""
    return room in TELLING and any(stem == name or stem.startswith(f"{name}_") for name in names)
