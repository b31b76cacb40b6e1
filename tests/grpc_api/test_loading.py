"""Loading says what whoever chose the policies may not have meant."""

from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from tiny_bundle import tiny_manifest, tiny_model

from grpc_api.loading import Loader
from grpc_api.settings import GatewaySettings
from grpc_api.telemetry import Metrics
from guard.bundle import write_bundle
from guard.errors import BundleError

SHUFFLE = '[[rule]]\nwhen = { flagged = true, model = "%s" }\npolicy = "label-only"\n'


def warnings(**settings: object) -> list[tuple[str, str | None]]:
    loader = Loader(GatewaySettings.of({"bundles": ["somewhere"], **settings}), Metrics(CollectorRegistry()))
    with structlog.testing.capture_logs() as logs:
        loader.guard(tiny_manifest(model=b""), loader.mode)
    return [(line["event"], line.get("policy")) for line in logs if line["log_level"] == "warning"]


@pytest.mark.parametrize(
    ("policy", "apply_to", "said"),
    [
        ("observe", "flagged", []),
        ("top-k", "flagged", [("flag_is_visible", "top-k")]),
        ("refuse", "flagged", [("flag_is_visible", "refuse")]),
        ("top-k", "all", []),
        ("top-k", "nobody", []),
    ],
)
def test_policy_that_shows_the_flag_is_told(policy: str, apply_to: str, said: list[tuple[str, str]]) -> None:
    assert warnings(policy=policy, apply_to=apply_to) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHUFFLE % "tiny", [("flag_is_visible", "label-only")]),
        (SHUFFLE % "tinny", [("rules_change_nothing", None)]),
        ("rule = []", [("rules_change_nothing", None)]),
        ('[[rule]]\npolicy = "label-only"\n', []),
        ('[[rule]]\nwhen = { flagged = true, tenant = "free" }\npolicy = "refuse"\n', [("flag_is_visible", "refuse")]),
    ],
    ids=["visible", "misspelt", "none", "everybody", "one tenant"],
)
def test_rules_that_show_the_flag_or_change_nothing_are_told(
    text: str, said: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    (tmp_path / "rules.toml").write_text(text)
    assert warnings(rules_file=tmp_path / "rules.toml") == said


def test_threshold_of_too_few_images_is_served_only_if_that_is_asked_for(tmp_path: Path) -> None:
    """A false-positive rate of .05 takes 90 images."""
    manifest = tiny_manifest(model=tiny_model())
    [detector] = manifest.detectors
    for n in (89, 90):
        few = detector.model_copy(update={"threshold": replace(detector.threshold, n=n)})
        write_bundle(tmp_path / str(n), manifest=manifest.model_copy(update={"detectors": (few,)}), model=tiny_model())
    asked, unasked = (
        Loader(GatewaySettings.of({"bundles": ["somewhere"], "unguarded": told}), Metrics(CollectorRegistry()))
        for told in (True, False)
    )
    with pytest.raises(BundleError, match=r"of 89 images.* takes 90; .*--unguarded"):
        unasked.read(tmp_path / "89")
    with structlog.testing.capture_logs() as logs:
        unasked.read(tmp_path / "90")
        asked.read(tmp_path / "90")
        assert logs == []
        asked.read(tmp_path / "89")
    assert [(line["event"], line["log_level"]) for line in logs] == [("bundle_is_unguarded", "warning")]
