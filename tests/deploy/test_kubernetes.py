"""The manifests: each schema's own validator takes them, they fit each other, and they ask for nothing they do not need."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from knockguard.cli import app

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
OBJECTS: dict[str, dict[str, Any]] = {
    found["kind"]: found
    for path in FOLDER.glob("*.yaml")
    for found in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if path.stem != "kustomization"
}
OPERATORS = {"PodMonitor", "PrometheusRule"}  # kinds that only the Prometheus operator knows
POD: dict[str, Any] = OBJECTS["Deployment"]["spec"]["template"]
CONTAINERS = [*POD["spec"]["initContainers"], *POD["spec"]["containers"]]
(GATEWAY,) = POD["spec"]["containers"]
PORTS = {port["name"]: port["containerPort"] for port in GATEWAY["ports"]}


@pytest.mark.parametrize("kind", sorted(set(OBJECTS) - OPERATORS))
@pytest.mark.parametrize("version", ["1.30", "1.35"])
def test_schema_takes_the_object_and_knows_each_of_its_keys(kind: str, version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about how it finds its files
        validator = pytest.importorskip("kubernetes_validate", reason="`pip install kubernetes-validate` has the schemas")
        validator.validate(OBJECTS[kind], version, strict=True)


def test_kustomization_lists_every_object_but_the_operators() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    theirs = {"kustomization.yaml", *(f"{kind.lower()}.yaml" for kind in OPERATORS)}
    assert set(listed["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - theirs
    assert {image["name"] for image in listed["images"]} == {container["image"] for container in CONTAINERS}


def test_pod_is_what_the_restricted_standard_asks_for() -> None:
    pod = POD["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in CONTAINERS:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD["spec"].keys()


def test_everything_selects_the_pods_and_nothing_else() -> None:
    labels = POD["metadata"]["labels"]
    deployment, spread = OBJECTS["Deployment"]["spec"], POD["spec"]["topologySpreadConstraints"][0]
    selectors = [deployment["selector"], spread["labelSelector"], OBJECTS["NetworkPolicy"]["spec"]["podSelector"]]
    selectors += [OBJECTS["PodDisruptionBudget"]["spec"]["selector"], OBJECTS["PodMonitor"]["spec"]["selector"]]
    assert all(selector["matchLabels"] == labels for selector in selectors)
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", OBJECTS["Deployment"]["metadata"]["name"])


def test_all_three_probes_ask_the_standard_health_service() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert GATEWAY[probe]["grpc"] == {"port": PORTS["grpc"]}


def test_stopping_takes_less_than_kubernetes_grants() -> None:
    from grpc_api.settings import GatewaySettings

    drain_s = GatewaySettings.model_fields["drain_s"].default
    assert GATEWAY["lifecycle"]["preStop"]["sleep"]["seconds"] + drain_s < POD["spec"]["terminationGracePeriodSeconds"]


def test_arguments_are_options_of_serve_and_their_files_are_mounted() -> None:
    options = {option for p in typer.main.get_command(app).commands["serve"].params for option in p.opts}
    given = dict(arg.split("=") for arg in GATEWAY["args"][1:])
    assert given.keys() <= options
    mounts = {mount["mountPath"]: mount for mount in GATEWAY["volumeMounts"]}
    assert GATEWAY["args"][0] in mounts
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {Path(given["--admin-socket"]).parent.as_posix()}
    secret = Path(given["--secret-file"])
    assert secret.parent.as_posix() in mounts
    assert f"/mounted/{secret.name}" in CONTAINERS[0]["command"]
    assert int(given["--threads"]) == int(GATEWAY["resources"]["limits"]["cpu"])


def test_keys_are_read_where_kubernetes_renews_them() -> None:
    path = Path(next(arg for arg in GATEWAY["args"] if arg.startswith("--api-keys=")).partition("=")[2])
    (mount,) = [mount for mount in GATEWAY["volumeMounts"] if mount["mountPath"] == path.parent.as_posix()]
    assert "subPath" not in mount
    (volume,) = [volume for volume in POD["spec"]["volumes"] if volume["name"] == mount["name"]]
    assert [item["path"] for item in volume["secret"]["items"]] == [path.name]  # and not the guard's secret beside it


def test_secret_becomes_a_file_that_only_the_gateway_reads(tmp_path: Path) -> None:
    from guard.secret import Secret, write_secret

    for folder in ("mounted", "run"):
        (tmp_path / folder).mkdir()
    written = write_secret(tmp_path / "mounted/guard.secret")
    (tmp_path / "mounted/guard.secret").chmod(0o440)  # as Kubernetes mounts it for a group
    command = CONTAINERS[0]["command"]
    real = {"/run/knockguard": "run", "/mounted": "mounted"}
    for place, folder in real.items():
        command = [word.replace(place, str(tmp_path / folder)) for word in command]
    subprocess.run(command, check=True)
    assert Secret.read(tmp_path / "run/guard.secret").id == written.id


def test_operators_rules_are_those_that_promtool_tested() -> None:
    done = subprocess.run([sys.executable, FOLDER / "rules.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [FOLDER.parent / f"prometheus/rules/{name}.yml" for name in ("recording", "alerts")]
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    assert OBJECTS["PrometheusRule"]["spec"]["groups"] == groups


def test_network_lets_clients_to_queries_prometheus_to_metrics_and_nothing_out() -> None:
    policy = OBJECTS["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    opened = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert opened.keys() == {PORTS["grpc"], PORTS["metrics"]}
    assert all(len(rule["ports"]) == 1 and rule["from"] for rule in policy["ingress"])
    assert "namespaceSelector" in opened[PORTS["metrics"]][0]


def test_service_offers_queries_alone_and_the_monitor_finds_the_metrics_under_the_rules_name() -> None:
    assert [port["targetPort"] for port in OBJECTS["Service"]["spec"]["ports"]] == ["grpc"]
    monitor = OBJECTS["PodMonitor"]["spec"]
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == ["metrics"]
    assert POD["metadata"]["labels"][monitor["jobLabel"]] == "knockguard"
