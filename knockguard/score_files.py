"""Scores that somebody logged: JSON Lines (the gateway's audit log), CSV or Parquet, a row a query.

Read as rows of names and values: `score` must be there; what else a row says (`detector`, `tenant`, `model`, `version`, `bundle`)
decides whether it counts. A score that is not finite counts as the highest there is, since serving flags it. Lines are bounded,
and a row that cannot be read is named by file and line.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from guard.bundle import Manifest
from guard.decision_log import OPEN_SUFFIX, SUFFIX
from guard.errors import InvalidInputError
from guard.tables import read_records
from guard.types import Floats, Ints

_MAX_LINE = 1 << 16
MOST = float(np.finfo(np.float32).max)  # stands for a score above every threshold: not a number, infinite, beyond float32
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows count: those of this very bundle and, if any are named, of these tenants. A row that does not say counts."""

    manifest: Manifest
    tenants: frozenset[str] = frozenset()

    def other(self, row: Row) -> str | None:
        """Return what about a row is another's, or None if it counts."""
        ours = {"model": self.manifest.name, "version": self.manifest.version, "bundle": self.manifest.digest}
        for name, value in ours.items():
            if (given := row.get(name)) not in (None, "") and str(given) != value:
                return name
        return "tenant" if self.tenants and str(row.get("tenant")) not in self.tenants else None


@dataclass(slots=True)
class Logged:
    """Scores (n,) float32 by detector, and the classes ranked first (n,) where every row says; what was passed over, and why.

    All scores are finite; `MOST` stands for one that is not and that serving flags. Thresholds hang on the scores' order alone.
    """

    scores: dict[str, Floats] = field(default_factory=dict)
    top: dict[str, Ints | None] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)


def read_scores(source: Path, wanted: Wanted) -> Logged:
    """Return the scores in a file, or in all .jsonl files of a folder, also the one that a gateway is still writing to.

    InvalidInputError if it cannot be read as such.
    """
    logged = Logged()
    scores: dict[str, list[float]] = {}
    top: dict[str, list[int | None]] = {}
    for where, row in _rows(source):
        if (other := wanted.other(row)) is not None:
            logged.passed_over[f"of another {other}"] += 1
            continue
        score = _number(row, where)
        if score is None:
            logged.passed_over["answered unguarded"] += 1
            continue
        detector = str(row.get("detector") or wanted.manifest.detector)
        scores.setdefault(detector, []).append(score)
        top.setdefault(detector, []).append(_class(row, where, len(wanted.manifest.labels)))
    for detector, found in scores.items():
        logged.scores[detector] = np.array(found, np.float32)
        known = [c for c in top[detector] if c is not None]
        logged.top[detector] = np.array(known, np.int64) if len(known) == len(found) else None
    return logged


def _rows(source: Path) -> Iterator[tuple[str, Row]]:
    readers = {".jsonl": _json_lines, ".csv": _csv, ".parquet": read_records}
    if not source.exists():
        raise InvalidInputError(f"there is no {source}; give a file of scores, or the folder of an audit log")
    paths = sorted(p for p in source.iterdir() if p.name.endswith((SUFFIX, OPEN_SUFFIX))) if source.is_dir() else [source]
    if not paths:
        raise InvalidInputError(f"{source} holds no .jsonl file")
    for path in paths:
        kind = ".jsonl" if path.name.endswith(OPEN_SUFFIX) else path.suffix
        if kind not in readers:
            raise InvalidInputError(f"{path} is none of {', '.join(readers)}; scores are read from these")
        try:
            yield from readers[kind](path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InvalidInputError(f"{path} cannot be read ({error})") from None


def _json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8") as file:
        for n, line in enumerate(iter(lambda: file.readline(_MAX_LINE), ""), 1):
            where = f"{path} line {n}"
            if path.suffix == ".part" and not line.endswith("\n") and len(line) < _MAX_LINE:
                return  # the gateway is at it, or a crash cut it short
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInputError(f"{where} is no JSON of at most {_MAX_LINE} characters ({error})") from None
            if not isinstance(row, dict):
                raise InvalidInputError(f"{where} is no object; write one object a line, with a score")
            yield where, row


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for n, row in enumerate(csv.DictReader(file), 2):
            yield f"{path} line {n}", {key: value for key, value in row.items() if value != ""}


def _number(row: Row, where: str) -> float | None:
    """Return the score, `MOST` if serving flags it whatever the threshold, or None if the row was answered without one."""
    if "score" not in row:
        raise InvalidInputError(f"{where} has no 'score' but {', '.join(map(str, row)) or 'nothing'}")
    try:
        score = float(row["score"]) if row["score"] is not None else float("nan")
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(f"{where}: the score is {str(row['score'])[:40]!r}, no number") from None
    if row["score"] is None and str(row.get("flagged")).lower() == "false":
        return None  # its detector had failed: there is no score of it, high or low
    return MOST if math.isnan(score) else min(max(score, -MOST), MOST)


def _class(row: Row, where: str, n_classes: int) -> int | None:
    if row.get("top") is None:
        return None
    try:
        top = int(row["top"])
    except (TypeError, ValueError, OverflowError):
        top = -1
    if not 0 <= top < n_classes:
        raise InvalidInputError(f"{where}: the class ranked first is {str(row['top'])[:40]!r}; it must be 0 to {n_classes - 1}")
    return top
