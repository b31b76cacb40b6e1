"""Alerts fire and stay silent as their cases say, and each leads somewhere."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
CASES = sorted((PROMETHEUS / "tests").glob("*.yml"))
OPERATIONS = ROOT / "docs/operations"


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of one file, in order."""
    groups = yaml.safe_load((PROMETHEUS / "rules" / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}


def program(name: str, package: str) -> str:
    """Return a program's path; skips where its Debian package is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the PATH; Debian's package {package} has it")
    return found


def checked(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.server
def test_prometheus_takes_the_configuration_and_finds_both_rule_files() -> None:
    said = checked(program("promtool", "prometheus"), "check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert "2 rule files found" in said


@pytest.mark.server
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_the_cases_say(cases: Path) -> None:
    checked(program("promtool", "prometheus"), "test", "rules", str(cases))


@pytest.mark.server
def test_alertmanager_takes_its_configuration_and_routes_by_severity() -> None:
    amtool, config = program("amtool", "prometheus-alertmanager"), str(ROOT / "deploy/alertmanager/alertmanager.yml")
    checked(amtool, "check-config", config)
    for severity, receiver in (("critical", "on-call"), ("warning", "daytime")):
        assert checked(amtool, "config", "routes", "test", f"--config.file={config}", f"severity={severity}").strip() == receiver


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    cases = [
        case
        for path in CASES
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_leads_to_its_section_of_the_runbook(name: str) -> None:
    page, _, anchor = ALERTS[name]["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]


def test_runbook_has_no_section_for_an_alert_that_is_gone() -> None:
    headings = re.findall(r"^## (.+)$", (OPERATIONS / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(headings) == ALERTS.keys()


def test_table_of_alerts_says_what_the_rules_say() -> None:
    text = (OPERATIONS / "alerts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(runbook\.md#\w+\) \| (\w+) \| .+ \| (\w+) \|$", text, re.MULTILINE)
    assert {name: (severity, hold) for name, severity, hold in rows} == {
        name: (rule["labels"]["severity"], rule["for"]) for name, rule in ALERTS.items()
    }


def test_links_between_the_operations_pages_lead_to_headings() -> None:
    anchors = {
        p.name: {h.lower() for h in re.findall(r"^#+ (.+)$", p.read_text(), re.MULTILINE)} for p in OPERATIONS.glob("*.md")
    }
    for page in OPERATIONS.glob("*.md"):
        for target, anchor in re.findall(r"\]\(([\w.]*)#(\w+)\)", page.read_text(encoding="utf-8")):
            assert anchor in anchors[target or page.name]


def test_rules_and_pages_name_only_metrics_that_the_gateway_has() -> None:
    files = [ROOT / "grpc_api/telemetry.py", *sorted((ROOT / "grpc_api").glob("*_metrics.py"))]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    known = set(re.findall(r'"(knockguard_\w+|grpc_server_\w+)"', source))
    recorded = {rule["record"] for rule in rules("recording.yml")}
    texts = [rule["expr"] for name in ("recording.yml", "alerts.yml") for rule in rules(name)]
    texts += [page.read_text(encoding="utf-8") for page in OPERATIONS.glob("*.md")]
    for text in texts:
        assert set(re.findall(r"\b\w+:knockguard_\w+:\w+", text)) <= recorded
        named = re.findall(r"(?<![:\w])(?:knockguard|grpc_server)_[a-z_]+(?![:\w])", text)
        assert {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in named} <= known
