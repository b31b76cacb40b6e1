"""The ledger: what was answered is there again, whatever ended the attack, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.ledger import discard, open_ledger, read_transfer_set
from evaluation.transfer import Queries
from guard.errors import ConfigError, InvalidInputError

FACTS = {"attack": "knockoff {}", "seed": "0"}


def queries(n: int, *, seed: int = 0) -> Queries:
    return Queries(np.random.default_rng(seed).integers(0, 256, (n, 4, 5, 3), dtype=np.uint8), np.arange(n) + 100)


def answers(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows, rows + 1], axis=1).astype(np.float32)


def opened(path: Path, facts: dict[str, str] = FACTS):
    return open_ledger(path, facts, side=(4, 5), n_classes=2)


def enter(ledger, asked: Queries, *rows: int) -> None:
    ledger.enter(np.array(rows), asked, answers(np.array(rows)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "transfer.npz"


def test_rows_are_there_again_in_whichever_order_they_came(path):
    turn = queries(6)
    with opened(path) as ledger:
        enter(ledger, turn, 4, 0)
        enter(ledger, turn, 1)
    assert not path.exists()
    with opened(path) as ledger:
        assert ledger.missing(turn).tolist() == [2, 3, 5]
        assert len(ledger.asked()) == 2
        enter(ledger, turn, 2, 3, 5)
        ledger.end_turn()
        ledger.fold()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    stored = read_transfer_set(path)
    np.testing.assert_array_equal(stored.answers, answers(np.arange(6)))
    np.testing.assert_array_equal(stored.queries.pixels, turn.pixels)
    np.testing.assert_array_equal(stored.queries.sources, turn.sources)


def test_turn_that_a_budget_cut_is_gone_on_from(path):
    first, second = queries(3), queries(4, seed=1)
    with opened(path) as ledger:
        enter(ledger, first, 0, 1, 2)
        ledger.end_turn()
        enter(ledger, second, 0, 1)
        ledger.fold()
    with opened(path) as ledger:
        assert len(ledger.done) == 3
        assert ledger.missing(second).tolist() == [2, 3]
        enter(ledger, second, 3)
    with opened(path) as ledger:
        assert ledger.missing(second).tolist() == [2]
        ledger.fold()  # row 3 would be lost
    with opened(path) as ledger:
        enter(ledger, second, 2)
        ledger.end_turn()
        ledger.fold()
        assert len(ledger.done) == 7


@pytest.mark.parametrize("n_bytes", [1, 40, 70])
def test_half_a_record_is_cut_off_and_asked_again(path, n_bytes):
    turn = queries(4)
    with opened(path) as ledger:
        enter(ledger, turn, 0, 1)
    log = path.with_name("transfer.npz.log")
    log.write_bytes(log.read_bytes()[:-n_bytes])
    with opened(path) as ledger:
        assert ledger.missing(turn).tolist() == [1, 2, 3]
        enter(ledger, turn, 1, 2, 3)
    with opened(path) as ledger:
        assert len(ledger.asked()) == 4


def test_half_a_first_line_is_an_empty_log(path):
    with opened(path) as ledger:
        enter(ledger, queries(2), 0)
    log = path.with_name("transfer.npz.log")
    log.write_bytes(log.read_bytes()[:10])
    with opened(path) as ledger:
        assert len(ledger.missing(queries(2))) == 2
        enter(ledger, queries(2), 1)
    with opened(path) as ledger:
        assert ledger.missing(queries(2)).tolist() == [0]


def test_log_that_was_folded_and_not_dropped_says_nothing_new(path):
    turn = queries(3)
    with opened(path) as ledger:
        enter(ledger, turn, 0, 1, 2)
        ledger.end_turn()
        log = path.with_name("transfer.npz.log")
        content = log.read_bytes()
        ledger.fold()
    log.write_bytes(content)
    with opened(path) as ledger:
        np.testing.assert_array_equal(ledger.asked().answers, answers(np.arange(3)))


@pytest.mark.parametrize("folded", [True, False])
def test_other_facts_are_named_with_both_values(path, folded):
    with opened(path) as ledger:
        enter(ledger, queries(2), 0, 1)
        if folded:
            ledger.fold()
    with pytest.raises(ConfigError, match=r"seed 0, and now it is 1.*--force"), opened(path, FACTS | {"seed": "1"}):
        pass
    with opened(path) as ledger:
        assert len(ledger.asked()) == 2


def test_other_queries_than_were_asked_are_not_taken_for_them(path):
    with opened(path) as ledger:
        enter(ledger, queries(2), 0, 1)
        with pytest.raises(ConfigError, match="row 0 was asked otherwise"):
            ledger.missing(queries(2, seed=5))


def test_lost_rows_are_told(path):
    first, second = queries(3), queries(4, seed=1)
    with opened(path) as ledger:
        enter(ledger, first, 0, 2, 1)
        ledger.end_turn()
        enter(ledger, second, 0)
    log = path.with_name("transfer.npz.log")
    head, _, records = log.read_bytes().partition(b"\n")
    size = len(records) // 4
    log.write_bytes(head + b"\n" + records[size:])
    with pytest.raises(InvalidInputError, match="before row 3 are lost"), opened(path):
        pass


def test_discarded_is_gone(path):
    with opened(path) as ledger:
        enter(ledger, queries(2), 0, 1)
        ledger.fold()
        enter(ledger, queries(3), 2)
    discard(path)
    assert list(path.parent.iterdir()) == []
    discard(path)
