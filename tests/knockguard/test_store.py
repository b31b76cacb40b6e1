"""Finished stages: reused when nothing changed, made again when anything did."""

from pathlib import Path

import numpy as np

from knockguard.store import Store, code_fingerprint


def test_stage_is_reused_until_its_inputs_change(tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    key = store.fingerprint(0, "settings")
    assert store.load("victim", key) is None
    store.save("victim", key, {"a": np.arange(3)})
    np.testing.assert_array_equal(store.load("victim", key)["a"], np.arange(3))
    assert store.load("victim", store.fingerprint(1, "settings")) is None
    assert Store(tmp_path, "other code").fingerprint(0, "settings") != key


def test_damaged_file_is_no_result(tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    store.save("victim", "k", {"a": np.arange(3)})
    path = next(tmp_path.glob("victim-*"))
    path.write_bytes(path.read_bytes()[:40])
    assert store.load("victim", "k") is None


def test_what_is_stale_goes_when_the_stage_is_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path, "code")
    store.save("victim", "old", {"a": np.zeros(1)})
    store.save("victim", "new", {"a": np.ones(1)})
    assert [p.name for p in tmp_path.iterdir()] == ["victim-new.npz"]


def test_code_fingerprint_is_stable() -> None:
    assert code_fingerprint() == code_fingerprint()
