"""Decisions as lines of JSON: what was decided for a row, and nothing that the row held.

One line a row. The fields are `DecidedRow`'s; `docs/operations/audit-log.md` is their page. Lines are written here and read here,
so that a threshold can be calibrated anew from the scores of live traffic.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from guard.bundle import Manifest
from guard.errors import InvalidInputError
from guard.guard import Decision
from guard.types import Action

SUFFIX = ".jsonl"
OPEN_SUFFIX = ".jsonl.part"  # a file that is still written to, or that a crash left
_MAX_LINE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class DecidedRow:
    """One line. `score` and `threshold` are in the detector's own unit; a score that was not finite is None, and was flagged.

    A score of None that was not flagged is that of a row that was answered unguarded, since the detector failed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")  # a later version may say more

    time: datetime
    request: str
    row: int
    tenant: str
    model: str
    version: str
    bundle: str
    detector: str
    score: float | None
    threshold: float
    flagged: bool
    action: Action
    policy: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What decided: a bundle, and its detector."""

    model: str
    version: str
    bundle: str
    detector: str
    threshold: float

    @classmethod
    def of(cls, manifest: Manifest) -> "Origin":
        """Return what decides by a manifest."""
        detector = next(d for d in manifest.detectors if d.name == manifest.detector)
        return cls(manifest.name, manifest.version, manifest.digest, detector.name, detector.threshold.value)


@dataclass(frozen=True, slots=True)
class Decided:
    """One request's rows, as they were decided; `at` is in seconds since 1970."""

    origin: Origin
    decision: Decision
    tenant: str
    request: str
    at: float

    def lines(self) -> str:
        """Return one line a row, each ended. A float32 score is written in nine digits, which is all of it."""
        origin = self.origin
        head = json.dumps(
            {
                "time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "request": self.request,
                "tenant": self.tenant,
                "model": origin.model,
                "version": origin.version,
                "bundle": origin.bundle,
                "detector": origin.detector,
                "threshold": origin.threshold,
            },
            separators=(",", ":"),
        )[:-1]
        decision = self.decision
        rows = zip(decision.score.tolist(), decision.flagged.tolist(), decision.actions, decision.policies, strict=True)
        return "".join(
            f'{head},"row":{row},"score":{f"{score:.9g}" if isfinite(score) else "null"},"flagged":{"true" if flag else "false"},'
            f'"action":"{action}","policy":"{policy}"}}\n'
            for row, (score, flag, action, policy) in enumerate(rows)
        )


class Witness(Protocol):
    """Somebody who is told of every decision, between two queries, and must not keep them waiting."""

    def decided(self, decided: Decided) -> None: ...


def read_decisions(source: Path) -> Iterator[DecidedRow]:
    """Yield the rows of a file, or of all files of a folder by their names, which begin with their time.

    A last line that a crash cut short is passed over. InvalidInputError names the file and line of anything else that is no row.
    """
    if source.is_dir():
        files = sorted(p for p in source.iterdir() if p.name.endswith((SUFFIX, OPEN_SUFFIX)))
        if not files:
            raise InvalidInputError(f"{source} holds no *{SUFFIX} files; give an audit log's folder")
        for file in files:
            yield from _rows(file)
    else:
        yield from _rows(source)


def _rows(path: Path) -> Iterator[DecidedRow]:
    adapter = TypeAdapter(DecidedRow)
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) < _MAX_LINE_BYTES:
                        return
                    raise InvalidInputError(f"{path} line {number} has {_MAX_LINE_BYTES} bytes and more; that is no decision")
                yield adapter.validate_json(line)
    except OSError as error:
        raise InvalidInputError(f"cannot read the decisions at {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InvalidInputError(f"{path} line {number} is no decision: {where}: {first['msg']}") from None
