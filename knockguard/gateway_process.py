"""A gateway as a process of its own, for the demo, benchmarks and tests: started, waited for, and never left behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.request import urlopen

from guard.errors import BackendError

_START_TIMEOUT_S = 300.0  # one that ends is noticed at once; beside trainings the imports alone can take minutes
_STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway on loopback: where it listens, its process, what it says, and the file that is there while it answers."""

    address: str
    metrics_url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    ready_file: Path

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry these labels, as Prometheus would read it."""
        return sum(value for sample, found, value in self.samples() if sample == name and labels.items() <= found.items())

    def counter(self, name: str, **labels: str) -> int:
        """Return `total` of something that is counted."""
        return int(self.total(name, **labels))

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """Return every sample of the metrics: its name, its labels, its value."""
        from prometheus_client.parser import text_string_to_metric_families

        with urlopen(self.metrics_url, timeout=10) as response:  # noqa: S310  # a loopback address of ours
            text = response.read().decode()
        families = text_string_to_metric_families(text)
        return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]

    def end(self, number: int = signal.SIGTERM, *, timeout_s: float = 20.0) -> int:
        """Send a signal that ends it, wait, and return its exit code; its log is whole then."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def gateway(
    *bundles: Path,
    log: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "knockguard"),
) -> Iterator[RunningGateway]:
    """Serve bundles on free ports until the block ends; BackendError if it does not come up, with what it said last.

    `program` is what Python runs: another takes the same words as `knockguard`.
    The process ends with the block, whatever ends the block: first asked, then killed.
    """
    with TemporaryDirectory(prefix="knockguard-") as folder, log.open("wb") as output:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, *program, "serve", *map(str, bundles), "--port", "0", "--metrics-port", "0"]
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
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
    metrics_url = f"http://127.0.0.1:{ports['metrics_port']}/metrics"
    return RunningGateway(f"127.0.0.1:{ports['port']}", metrics_url, process, log, ready)
