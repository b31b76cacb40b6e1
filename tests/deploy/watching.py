"""A gateway with two tenants and an upstream, and a real Prometheus that scrapes it under the rules that are deployed."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from plain_host import PlainHost, plain_host
from tiny_bundle import tiny_model, write_tiny

from knockguard.gateway_process import gateway

PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"
KEYS = {"shop": "key-of-the-shop", "thief": "key-of-the-thief"}


@dataclass(frozen=True)
class Watched:
    """Where a gateway answers, where the Prometheus that watches it does, and the server behind the gateway."""

    address: str
    prometheus: str
    upstream: PlainHost

    def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of Prometheus's answer."""
        with urlopen(f"{self.prometheus}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query that have a number as their value."""
        return [s for s in self.get("query", query=expression)["result"] if s["value"][1] != "NaN"]


@contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        started = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait(what: str, ready: Any, *, log: Path, started: subprocess.Popen[bytes], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if started.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{what} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def deployed(folder: Path, target: str) -> Path:
    """Write the configuration that is deployed, for this target, with every clock in a hurry and no alert waiting."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    del config["alerting"]
    config["global"] = {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "500ms"}
    (job,) = [job for job in config["scrape_configs"] if job["job_name"] == "knockguard"]
    job["static_configs"] = [{"targets": [target]}]
    config["scrape_configs"] = [job]
    (folder / "rules").mkdir()
    for path in (PROMETHEUS / "rules").glob("*.yml"):
        (folder / "rules" / path.name).write_text(re.sub(r"^ +for: .+\n", "", path.read_text(), flags=re.MULTILINE))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


@contextmanager
def watching(folder: Path, prometheus: Path, settings: str = "") -> Iterator[Watched]:
    """Run both in processes of their own, for as long as the block runs; `settings` are a file's, beside the arguments."""
    bundle, keys = write_tiny(folder / "bundle"), folder / "keys"
    keys.write_text("".join(f"{tenant}:{sha256(key.encode()).hexdigest()}\n" for tenant, key in KEYS.items()))
    (folder / "limits.toml").write_text("[default]\nquota_rows = 1_000_000_000\n")
    arguments = ["--policy", "label-only", "--api-keys", str(keys), "--audit-log", str(folder / "audit")]
    (folder / "settings.toml").write_text(settings)
    arguments += ["--config", str(folder / "settings.toml")]
    arguments += ["--tenant-limits", str(folder / "limits.toml")]
    host = PlainHost(tiny_model())
    with (
        plain_host(host) as upstream,
        gateway(bundle, log=folder / "gateway.log", arguments=[*arguments, "--upstream", upstream]) as served,
    ):
        with socket.create_server(("127.0.0.1", 0)) as free:
            web = f"127.0.0.1:{free.getsockname()[1]}"
        config = deployed(folder, served.metrics_url.removeprefix("http://").removesuffix("/metrics"))
        command = [str(prometheus), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        with process([*command, f"--web.listen-address={web}"], folder / "prometheus.log") as scraper:
            found = Watched(served.address, f"http://{web}", host)

            def scraped() -> bool:
                try:
                    return bool(found.query('up{job="knockguard"} == 1'))
                except (URLError, ConnectionError):
                    return False

            wait("Prometheus", scraped, log=folder / "prometheus.log", started=scraper)
            yield found
