"""Finished stages: reused when nothing changed, made again when anything did."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knockguard.store import Store, code_fingerprint, only_tells


def test_stage_is_reused_until_its_inputs_or_our_code_change(tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    key = store.fingerprint(0, "settings")
    assert store.load("victim", key) is None
    store.save("victim", key, {"a": np.arange(3), "name": np.array("text")})
    kept = Store(tmp_path, "code").load("victim", store.fingerprint(0, "settings"))
    assert kept is not None
    np.testing.assert_array_equal(kept["a"], np.arange(3))
    assert str(kept["name"]) == "text"
    assert store.load("victim", store.fingerprint(1, "settings")) is None
    assert store.load("other", key) is None
    assert Store(tmp_path, "other code").fingerprint(0, "settings") != key


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "words": lambda _: b"no archive",
    "start": lambda content: content[:40],
    "no end": lambda content: content[:-30],
    "flipped": lambda content: content[:200] + b"\xff" * 9 + content[209:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_no_result_and_is_removed(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    store.save("victim", "k", {"a": np.arange(99)})
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert store.load("victim", "k") is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_stale_goes_when_the_stage_is_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    store.save("crops-adversary", "other", {"a": np.zeros(1)})
    store.save("crops", "old", {"a": np.zeros(1)})
    store.save("crops", "new", {"a": np.ones(1)})
    assert {p.name for p in tmp_path.iterdir()} == {"crops-adversary-other.npz", "crops-new.npz"}


def test_code_fingerprint_is_a_hash_of_our_files() -> None:
    assert code_fingerprint() == code_fingerprint()
    assert len(bytes.fromhex(code_fingerprint())) == 32


@pytest.mark.parametrize(
    ("room", "stem", "passed_over"),
    [
        ("knockguard", "cli", True),
        ("knockguard", "cli_options", True),
        ("evaluation", "report_table", True),
        ("evaluation", "paging", False),
        ("grpc_api", "client", False),
        ("grpc_api", "cli", False),
        ("guard", "report", False),
    ],
)
def test_only_what_tells_of_results_is_passed_over(room: str, stem: str, passed_over: bool) -> None:
    assert only_tells(room, stem, ("cli", "report", "page")) is passed_over
