"""A gateway as a process of its own, for the demo: started, waited for, and never left behind."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.request import urlopen

from guard.errors import BackendError

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """Where a gateway listens, on loopback."""

    address: str
    metrics_url: str

    def counter(self, name: str, **labels: str) -> int:
        """Return the sum of a counter's samples that carry these labels, as Prometheus would read it."""
        from prometheus_client.parser import text_string_to_metric_families

        with urlopen(self.metrics_url, timeout=10) as response:  # noqa: S310  # a loopback address of ours
            text = response.read().decode()
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
        return int(sum(s.value for s in samples if labels.items() <= s.labels.items()))


@contextmanager
def gateway(bundle: Path, *, log: Path, arguments: Sequence[str] = ()) -> Iterator[RunningGateway]:
    """Serve a bundle on free ports until the block ends; BackendError if it does not come up, with what it said last.

    The process ends with the block, whatever ends the block: first asked, then killed.
    """
    with TemporaryDirectory(prefix="knockguard-") as folder, log.open("wb") as output:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-m", "knockguard", "serve", str(bundle), "--port", "0", "--metrics-port", "0"]
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield _wait(process, ready, log)
        finally:
            process.terminate()
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_TIMEOUT_S)
            finally:  # also when Ctrl-C is pressed again while it drains
                process.kill()  # does nothing to one that has ended
                process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Path, log: Path) -> RunningGateway:
    deadline = monotonic() + _START_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or monotonic() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines()
            state = "did not answer in time" if process.poll() is None else f"ended with code {process.returncode}"
            raise BackendError(f"the gateway {state}: {lines[-1] if lines else 'it said nothing'} (all of it is in {log})")
        sleep(0.05)
    ports = json.loads(ready.read_text())
    return RunningGateway(f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['metrics_port']}/metrics")
