"""The dashboard: every query returns data from a real Prometheus that watches a real gateway."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_bundle import rows_of
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException
from watching import KEYS, Watched

GRAFANA = Path(__file__).parents[2] / "deploy/grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {"$model": ".*", "$__rate_interval": "1m"}  # as Grafana fills them in for all models
MARKS = {note["name"]: note["expr"] for note in DASHBOARD["annotations"]["list"]}
QUERIES = {f"{p['title']} {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]} | MARKS


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def ask(client: InferenceServerClient, key: str, level: float, n: int, *, name: str = "image") -> None:
    query = InferInput(name, [n, 3, 4, 4], "FP32")
    query.set_data_from_numpy(rows_of(level, n))
    try:
        client.infer("tiny", [query], headers={"x-api-key": key})
    except InferenceServerException:
        assert key not in KEYS.values() or name != "image"  # these are meant to fail


@pytest.fixture(scope="module")
def busy(watched: Watched) -> Iterator[Watched]:
    """Honest traffic, a thief's, and mistakes, for as long as the tests look."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def traffic() -> None:
        try:
            with InferenceServerClient(watched.address) as client:
                while not stop.wait(0.05):
                    ask(client, KEYS["shop"], 0.1, 100)
                    ask(client, KEYS["thief"], 0.9, 60)
                    ask(client, KEYS["shop"], 0.1, 1, name="picture")
                    ask(client, "no key of ours", 0.1, 1)
        except BaseException as error:  # told to the test below, which a thread cannot fail
            failed.append(error)

    thread = threading.Thread(target=traffic)
    thread.start()
    yield watched
    stop.set()
    thread.join()
    assert failed == []


@pytest.mark.server
@pytest.mark.parametrize("name", QUERIES)
def test_query_returns_data(name: str, busy: Watched) -> None:
    deadline, found = time.monotonic() + 30, []
    while not (found := busy.query(filled(QUERIES[name]))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found


@pytest.mark.server
def test_variable_offers_the_models(busy: Watched) -> None:
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
    assert busy.get(f"label/{label}/values", **{"match[]": metric}) == ["tiny"]


@pytest.mark.server
def test_alerts_name_the_thief_and_not_the_shop_from_real_metrics(busy: Watched) -> None:
    firing = 'ALERTS{alertstate="firing", alertname="%s"}'
    deadline = time.monotonic() + 30
    while not busy.query(firing % "KnockguardTenantAnomaly") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [s["metric"]["tenant"] for s in busy.query(firing % "KnockguardTenantAnomaly")] == ["thief"]
    assert len(busy.query(firing % "KnockguardFlagRateHigh")) == 1  # 60 of 160 rows
    assert busy.query(firing % "KnockguardErrorsHigh") == []  # mistakes of clients wake nobody


@pytest.mark.server
def test_flagged_share_in_prometheus_is_the_one_that_was_sent(busy: Watched) -> None:
    deadline = time.monotonic() + 60
    while not busy.query("model:knockguard_rows:increase1h > 8000"):  # so that a round that is half sent weighs little
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (share,) = busy.query('tenant:knockguard_flagged_share:ratio_rate1h{tenant="thief"}')
    assert float(share["value"][1]) == pytest.approx(1.0, abs=0.01)
    # 100 of 160 rows score .09, under the calibration's 10 % quantile: 0.625 less 0.1.
    (drift,) = busy.query("model:knockguard_score_drift:ks1h")
    assert float(drift["value"][1]) == pytest.approx(0.525, abs=0.02)


def test_panels_tile_the_grid_without_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_dashboard_asks_the_data_source_that_the_reader_chose() -> None:
    sources = {t["datasource"]["uid"] for p in PANELS for t in p["targets"]} | {p["datasource"]["uid"] for p in PANELS}
    assert sources == {"${datasource}"}
    assert {"datasource", "model"} == {v["name"] for v in DASHBOARD["templating"]["list"]}


def test_every_panel_and_legend_can_be_told_apart() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    for panel in PANELS:
        legends = [t["legendFormat"] for t in panel["targets"]]
        assert len(set(legends)) == len(legends)


def test_panels_that_the_runbook_names_exist() -> None:
    text = (GRAFANA.parents[1] / "docs/operations/runbook.md").read_text(encoding="utf-8")
    named = {name.replace("\n", " ") for name in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text)}
    assert {"Seconds by stage", "Calls by status"} <= named
    assert named <= {panel["title"] for panel in PANELS}


def test_provisioning_finds_the_prometheus_and_the_dashboard_of_the_compose_file() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/knockguard.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
