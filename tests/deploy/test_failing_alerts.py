"""Alerts of what a gateway depends on, from real metrics: the detector behind it fails, and is mended."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from spoilt_scores import spoilt
from test_grafana import ask
from tritonclient.grpc import InferenceServerClient
from watching import KEYS, watching

SETTINGS = """
[failing]
detector = "fail-open"
failures = 2
probe_s = 0.2
max_probe_s = 0.2
"""


def eventually(claim: Callable[[], bool], *, within_s: float = 40.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.server
def test_detector_that_fails_open_raises_its_alerts_and_one_that_is_mended_ends_them(tmp_path: Path, prometheus: Path) -> None:
    with watching(tmp_path, prometheus, SETTINGS) as watched, InferenceServerClient(watched.address) as client:

        def firing(name: str) -> list[dict[str, str]]:
            ask(client, KEYS["shop"], 0.9, 4)
            found = watched.query(f'ALERTS{{alertstate="firing", alertname="{name}"}}')
            return [series["metric"] for series in found]

        eventually(lambda: bool(watched.query("knockguard_unguarded_rows_total == 0")))
        assert firing("KnockguardDependencyLost") == firing("KnockguardUnguardedAnswers") == []
        with spoilt(watched.upstream, "missing"):
            eventually(lambda: bool(firing("KnockguardDependencyLost") and firing("KnockguardUnguardedAnswers")))
            (lost,) = firing("KnockguardDependencyLost")
            assert (lost["dependency"], lost["model"], lost["mode"]) == ("detector", "tiny", "fail-open")
        eventually(lambda: not firing("KnockguardDependencyLost"))
