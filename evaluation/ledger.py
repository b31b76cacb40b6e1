"""A ledger: each answer is on disk as soon as it is here, so that an attack which is killed has lost none that it paid for.

Two files. `transfer.npz` is the transfer set as of the last budget that was spent, with what it was asked by. Beside it, while an
attack is under way, `transfer.npz.log`: a line that says the same, then one record a row, in the order of arrival. A killed
process leaves at most half a record at its end, which is cut off.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np

from evaluation.transfer import Queries, TransferSet, nothing_asked
from guard.errors import ConfigError, InvalidInputError
from guard.types import Array, Floats, Ints
from guard.whole import write_whole

_MAX_HEADER_BYTES = 1 << 16


class Ledger:
    """Whole turns (`done`) and the answers of the turn under way, by row number within it. Use `open_ledger`."""

    def __init__(self, path: Path, facts: Mapping[str, str], done: TransferSet, turn: Mapping[int, Array]) -> None:
        self.done = done
        self._path, self._facts, self._turn = path, facts, dict(turn)
        self._record = _record(done.queries.pixels.shape[1:3], done.n_classes)
        self._log: BinaryIO | None = None

    def missing(self, queries: Queries) -> Ints:
        """Return which of the turn's queries are not answered yet; ConfigError if other ones were asked in their place."""
        for row, kept in self._turn.items():
            if row < len(queries) and not np.array_equal(kept["pixels"], queries.pixels[row]):
                raise ConfigError(
                    f"{self._path}: row {len(self.done) + row} was asked otherwise than this attack asks it, so another version "
                    "of knockguard began it; go on with that one, or ask anew (--force)"
                )
        return np.array([row for row in range(len(queries)) if row not in self._turn], np.int64)

    def enter(self, rows: Ints, queries: Queries, answers: Floats) -> None:
        """Keep the answers to these rows of the turn; they are the operating system's when this returns."""
        records = np.empty(len(rows), self._record)
        records["row"], records["turn"] = len(self.done) + rows, len(self.done)
        records["source"], records["pixels"], records["answer"] = queries.sources[rows], queries.pixels[rows], answers
        if self._log is None:
            self._log = _log_of(self._path).open("ab")
            if not self._log.tell():
                self._log.write(json.dumps({"facts": dict(self._facts)}).encode() + b"\n")
        self._log.write(records.tobytes())
        self._log.flush()
        self._turn.update(zip(rows.tolist(), records, strict=True))

    def end_turn(self) -> None:
        """Put the turn, all of it answered, behind the whole turns before it."""
        self.done, self._turn = self.asked(), {}

    def asked(self) -> TransferSet:
        """Return everything answered, in order, up to the first row that is not."""
        rows: list[Array] = []
        while len(rows) in self._turn:
            rows.append(self._turn[len(rows)])
        if not rows:
            return self.done
        turn = np.array(rows, self._record)
        return self.done.joined(Queries(turn["pixels"], turn["source"]), turn["answer"])

    def fold(self) -> None:
        """Write the .npz anew, whole or not at all, and drop the log."""
        self.close()
        asked = self.asked()
        if len(asked) < len(self.done) + len(self._turn):
            return  # a smaller budget passed over rows that a larger one has asked; they stay in the log
        if _log_of(self._path).exists():
            write_transfer_set(asked, self._path, facts=self._facts, turn_start=len(self.done))
            _log_of(self._path).unlink()

    def close(self) -> None:
        """Close the log; what was entered is there for the next time."""
        if self._log is not None:
            self._log.close()
            self._log = None


@contextmanager
def open_ledger(path: Path, facts: Mapping[str, str], *, side: tuple[int, int], n_classes: int) -> Iterator[Ledger]:
    """Yield what was asked before by the same attack of the same model, or an empty ledger.

    `facts` say what the answers depend on, side and number of classes among them. ConfigError names those that differ from the
    stored ones, InvalidInputError a file that is no transfer set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    asked, start = nothing_asked(side=side, n_classes=n_classes), 0
    if path.exists():
        asked, kept, start = _read(path)
        _check(path, kept, facts)
    records = np.empty(0, _record(side, n_classes))
    if _log_of(path).exists():
        records = _read_log(_log_of(path), records.dtype, facts)
        start = max(start, int(records["turn"].max(initial=0)))
    ledger = Ledger(path, facts, *_joined(path, asked, records, start))
    try:
        yield ledger
    finally:
        ledger.close()


def write_transfer_set(asked: TransferSet, path: Path, *, facts: Mapping[str, str], turn_start: int) -> None:
    """Write queries and answers with what they were asked by, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        pixels=asked.queries.pixels,
        sources=asked.queries.sources,
        answers=asked.answers,
        facts=np.array(json.dumps(dict(facts))),
        turn_start=np.int64(turn_start),
    )
    write_whole(path, buffer.getvalue())


def read_transfer_set(path: Path) -> TransferSet:
    """Read what `write_transfer_set` wrote; InvalidInputError if it is something else."""
    return _read(path)[0]


def discard(path: Path) -> None:
    """Remove a transfer set and its log, if they are there."""
    path.unlink(missing_ok=True)
    _log_of(path).unlink(missing_ok=True)


def _read(path: Path) -> tuple[TransferSet, dict[str, str], int]:
    try:
        with np.load(path, allow_pickle=False) as file:
            asked = TransferSet(Queries(file["pixels"], file["sources"]), file["answers"])
            return asked, json.loads(str(file["facts"])), int(file["turn_start"])
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InvalidInputError(f"{path} holds no transfer set ({error}); remove it to ask anew") from None


def _read_log(path: Path, record: np.dtype[np.void], facts: Mapping[str, str]) -> Array:
    """Return the whole records; what is left of half a record is cut off the file."""
    with path.open("r+b") as file:
        header = file.readline(_MAX_HEADER_BYTES)
        if not header.endswith(b"\n"):  # killed while it wrote its first line
            file.truncate(0)
            return np.empty(0, record)
        try:
            _check(path, json.loads(header)["facts"], facts)
        except (ValueError, KeyError, TypeError):
            raise InvalidInputError(f"{path} is no log of an attack; remove it to ask anew") from None
        whole = (file.seek(0, io.SEEK_END) - len(header)) // record.itemsize
        file.truncate(len(header) + whole * record.itemsize)
        file.seek(len(header))
        return np.frombuffer(file.read(whole * record.itemsize), record)


def _joined(path: Path, asked: TransferSet, records: Array, start: int) -> tuple[TransferSet, dict[int, Array]]:
    """Return the whole turns and the rows of the one under way, which begins at row `start`."""
    new = records[np.unique(records["row"], return_index=True)[1]]
    new = new[new["row"] >= len(asked)]  # a log that was folded and not dropped says the same again
    early, late = new[new["row"] < start], new[new["row"] >= start]
    if len(early) != max(0, start - len(asked)):
        raise InvalidInputError(f"{path}: some answers before row {start} are lost; ask anew (--force)")
    tail = np.empty(max(0, len(asked) - start), records.dtype)
    tail["row"], tail["source"] = np.arange(start, start + len(tail)), asked.queries.sources[start:]
    tail["pixels"], tail["answer"] = asked.queries.pixels[start:], asked.answers[start:]
    done = asked.first(start)
    if len(early):
        done = done.joined(Queries(early["pixels"], early["source"]), early["answer"])
    return done, {int(row["row"]) - start: row for row in (*tail, *late)}


def _check(path: Path, kept: Mapping[str, str], facts: Mapping[str, str]) -> None:
    """ConfigError that names each fact which is another one now."""
    names = [name for name in sorted({*kept, *facts}) if kept.get(name) != facts.get(name)]
    if names:
        told = "; ".join(f"{name} {kept.get(name, '-')}, and now it is {facts.get(name, '-')}" for name in names)
        raise ConfigError(f"{path} was asked with {told}: give another folder, or --force to ask anew")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.log")


def _record(side: tuple[int, ...], n_classes: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("row", "<i8"),
            ("turn", "<i8"),
            ("source", "<i8"),
            ("pixels", "u1", (*side, 3)),
            ("answer", "<f4", (n_classes,)),
        ]
    )
