"""A gateway of our own: it comes up, or says why not; it never outlives its block."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import pytest

from guard.errors import BackendError
from knockguard.gateway_process import RunningGateway, gateway


def children() -> set[int]:
    """Return the processes that this one has started and that have not been reaped."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def is_there(metrics_url: str) -> bool:
    try:
        with urlopen(metrics_url, timeout=5):
            return True
    except OSError:
        return False


def test_gateway_answers_inside_its_block_and_is_gone_after(bundle: Path, tmp_path: Path) -> None:
    before = children()
    with gateway(bundle, log=tmp_path / "log") as running:
        assert is_there(running.metrics_url)
        assert running.counter("knockguard_rows_total") == 0
        (started,) = children() - before
    assert children() == before
    assert not is_there(running.metrics_url)
    assert "Traceback" not in (tmp_path / "log").read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_gateway_is_gone_whatever_ends_the_block(error: type[BaseException], bundle: Path, tmp_path: Path) -> None:
    before, seen = children(), []
    with pytest.raises(error), gateway(bundle, log=tmp_path / "log") as running:  # noqa: PT012  # the block is the claim
        seen.append(running)
        raise error
    assert children() == before
    assert not is_there(seen[0].metrics_url)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 3, "no bundle at"),
        (["--policy", "shufle"], 2, "did you mean 'shuffle'"),
        (["--policy", "shuffle"], 2, "secret"),
    ],
)  # fmt: skip
def test_gateway_that_cannot_start_is_told_with_its_last_words(
    arguments: list[str], code: int, sentence: str, bundle: Path, tmp_path: Path
) -> None:
    before = children()
    chosen = bundle if arguments else tmp_path / "none"
    with (
        pytest.raises(BackendError, match=f"the gateway ended with code {code}: .*{sentence}.*all of it is in .*log"),
        gateway(chosen, log=tmp_path / "log", arguments=arguments),
    ):
        pytest.fail("it started")
    assert children() == before
    assert sentence in (tmp_path / "log").read_text()


OWNER = """
import signal, sys, time
from pathlib import Path
from knockguard.gateway_process import gateway
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with gateway(Path(sys.argv[1]), log=Path(sys.argv[2])) as running:
    print(running.metrics_url, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_gateway_ends_with_the_process_that_started_it(sent: signal.Signals, bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(bundle), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert is_there(url)
        owner.send_signal(sent)
        owner.wait(20)
    deadline = monotonic() + 5
    while is_there(url) and monotonic() < deadline:
        sleep(0.05)
    assert not is_there(url)


def test_gateway_that_hangs_is_killed_when_ctrl_c_is_pressed_again(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(bundle), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        (served,) = map(int, Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split())
        os.kill(served, signal.SIGSTOP)  # it hears nothing now, SIGTERM included
        started = monotonic()
        for _ in range(2):
            owner.send_signal(signal.SIGINT)
            sleep(0.3)
        owner.wait(20)
        assert monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(served, 0)


def test_counter_sums_the_samples_that_carry_the_labels(running: RunningGateway) -> None:
    assert running.counter("knockguard_build_info") == 1
    assert running.counter("knockguard_build_info", model="discs", version="7") == 1
    assert running.counter("knockguard_build_info", model="other") == 0
