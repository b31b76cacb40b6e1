"""The audit log: nothing is lost that was not counted, files turn over, and the disk may fail."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from prometheus_client import CollectorRegistry
from tiny_bundle import rows_of, tiny_manifest, tiny_model
from tritonclient.utils import InferenceServerException

from grpc_api.audit_log import AuditLog
from grpc_api.operator_settings import AuditSettings
from grpc_api.telemetry import Metrics
from guard.decision_log import Decided, Origin, read_decisions
from guard.errors import ConfigError
from guard.guard import Guard
from guard.policies.observe import Observe
from guard.types import ApplyTo

MANIFEST = tiny_manifest(model=tiny_model())
ORIGIN = Origin.of(MANIFEST)
GUARD = Guard(MANIFEST, Observe(), apply_to=ApplyTo.FLAGGED)


def decided(n_rows: int = 1, *, request: str = "r") -> Decided:
    decision = GUARD.decide(np.full((n_rows, 3), 1 / 3, np.float32), np.full((n_rows, 1), 0.1, np.float32))
    return Decided(ORIGIN, decision, "shop", request, time.time())


class Counted:
    """The metrics of one log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    @property
    def written(self) -> int:
        return int(self.registry.get_sample_value("knockguard_audit_rows_total") or 0)

    def dropped(self, reason: str) -> int:
        return int(self.registry.get_sample_value("knockguard_audit_dropped_rows_total", {"reason": reason}) or 0)


def until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_all_that_was_decided_before_the_end_is_there_after_it(tmp_path: Path) -> None:
    counted = Counted()
    log = AuditLog(tmp_path / "new" / "audit", counted.metrics, AuditSettings())
    threads = [threading.Thread(target=lambda: [log.decided(decided(3)) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert counted.written == sum(1 for _ in read_decisions(tmp_path / "new" / "audit")) == 2400
    (file,) = (tmp_path / "new" / "audit").iterdir()
    assert file.suffix == ".jsonl"
    assert file.stat().st_mode & 0o777 == 0o600


def test_files_turn_over_by_size_and_every_line_is_in_one_of_them(tmp_path: Path) -> None:
    counted = Counted()
    log = AuditLog(tmp_path, counted.metrics, AuditSettings(max_file_mib=2_000 / (1 << 20)))
    for number in range(50):
        log.decided(decided(1, request=str(number)))
        assert until(lambda n=number: counted.written > n)
    log.close()
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) > 3
    assert all(file.stat().st_size < 3_000 for file in files)
    assert [row.request for row in read_decisions(tmp_path)] == [str(n) for n in range(50)]


def test_file_turns_over_by_age_though_nothing_comes(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Counted().metrics, AuditSettings(max_file_minutes=0.2 / 60, sync_s=0.05))
    log.decided(decided())
    assert until(lambda: any(tmp_path.glob("*.part")))
    assert until(lambda: any(tmp_path.glob("*.jsonl")) and not any(tmp_path.glob("*.part")))
    log.close()
    assert len(list(tmp_path.iterdir())) == 1  # nothing came, so no empty file


def test_lines_are_brought_to_the_disk_within_the_time_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[float] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(time.monotonic()), real(handle))[1])
    log = AuditLog(tmp_path, Counted().metrics, AuditSettings(sync_s=0.1))
    began = time.monotonic()
    log.decided(decided())
    assert until(lambda: bool(synced))
    assert synced[0] - began < 1.0
    log.close()


def test_full_queue_drops_counts_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    counted = Counted()
    log = AuditLog(tmp_path, counted.metrics, AuditSettings(max_queue_rows=10))
    began = time.monotonic()
    log.decided(decided(11))
    assert time.monotonic() - began < 1
    assert counted.dropped("full") == 11
    log.decided(decided(10))
    log.close()
    assert sum(1 for _ in read_decisions(tmp_path)) == 10
    log.decided(decided(2))
    assert counted.dropped("full") == 13


FULL_DISK = """import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_audit_log import AuditLog, AuditSettings, Counted, decided, until

counted = Counted()
log = AuditLog(Path(sys.argv[1]), counted.metrics, AuditSettings())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# As a full disk does: a part is taken, the rest refused.
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
for _ in range(20):
    log.decided(decided())
assert until(lambda: counted.written + counted.dropped("disk") == 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.decided(decided(5, request="later"))
log.close()
print(counted.written, counted.dropped("disk"), file=sys.stderr)
"""


def test_disk_that_refuses_costs_lines_that_are_counted_and_none_once_it_takes_them_again(tmp_path: Path) -> None:
    paths = [str(tmp_path / "audit"), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *paths],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written, dropped = map(int, done.stderr.split())
    assert dropped > 0
    assert written + dropped == 25
    assert done.stdout.count("audit_failed") == done.stdout.count("audit_resumed") == 1
    rows = list(read_decisions(tmp_path / "audit"))
    assert [row.request for row in rows].count("later") == 5
    assert len(rows) >= written  # whole lines before the refusal count as dropped, never the other way


def test_folder_that_vanishes_is_written_to_again_when_it_is_back(tmp_path: Path) -> None:
    counted = Counted()
    log = AuditLog(tmp_path / "audit", counted.metrics, AuditSettings(max_file_mib=1 / (1 << 20)))
    (tmp_path / "audit").rename(tmp_path / "away")
    log.decided(decided(3))
    assert until(lambda: counted.dropped("disk") == 3)
    (tmp_path / "away").rename(tmp_path / "audit")
    log.decided(decided(2))
    log.close()
    assert len(list(read_decisions(tmp_path / "audit"))) == counted.written == 2


def test_folder_that_cannot_be_written_to_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep an audit log"):
        AuditLog(tmp_path / "file" / "audit", Counted().metrics, AuditSettings())


def ask_until_it_ends(address: str, name: str, answered: dict[str, int]) -> None:
    """Ask one query after another, and note under their ids how many rows of each were answered."""
    with triton.InferenceServerClient(address) as client:
        for number in range(100_000):
            item = triton.InferInput("image", [2, 3, 4, 4], "FP32")
            item.set_data_from_numpy(rows_of(0.6, 2))
            try:
                result = client.infer("tiny", [item], request_id=f"{name}-{number}")
            except InferenceServerException:
                return
            answered[f"{name}-{number}"] = len(result.as_numpy("probabilities"))


def test_sigterm_under_load_loses_no_decision(bundle: Path, start: Any, tmp_path: Path) -> None:
    answered: dict[str, int] = {}
    with start(bundle, "--audit-log", str(tmp_path / "audit"), "--policy", "label-only") as served:
        threads = [threading.Thread(target=ask_until_it_ends, args=(served.address, f"c{n}", answered)) for n in range(4)]
        for thread in threads:
            thread.start()
        assert until(lambda: len(answered) > 100, 30)
        served.process.terminate()
        for thread in threads:
            thread.join()
        assert served.process.wait(20) == 0
    logged = Counter(row.request for row in read_decisions(tmp_path / "audit"))
    assert {request: logged[request] for request in answered} == answered
    assert sum(logged.values()) - sum(answered.values()) <= 2 * len(threads)  # decided, and the connection was closed first
    assert not list((tmp_path / "audit").glob("*.part"))


def test_id_that_is_long_or_free_text_is_kept_nowhere(bundle: Path, start: Any, tmp_path: Path) -> None:
    given = ("order-7", "x" * 65, "a name, and \n a line", "")
    with start(bundle, "--audit-log", str(tmp_path)) as served, triton.InferenceServerClient(served.address) as client:
        for name in given:
            item = triton.InferInput("image", [1, 3, 4, 4], "FP32")
            item.set_data_from_numpy(rows_of(0.1))
            assert client.infer("tiny", [item], request_id=name).get_response().id == name
        served.end()
    first, *others = [row.request for row in read_decisions(tmp_path)]
    assert first == "order-7"
    assert len(set(others)) == 3
    assert all(re.fullmatch("[0-9a-f]{16}", other) for other in others)
