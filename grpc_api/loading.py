"""From a bundle's folder to a pipeline that answers: read, checked, warmed up, and its policy built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from grpc_api.backends.base import Backend
from grpc_api.backends.opening import open_backend
from grpc_api.batching import Limits
from grpc_api.pipeline import Pipeline
from grpc_api.settings import GatewaySettings
from grpc_api.telemetry import Metrics, ModelMetrics
from guard.bundle import Bundle, Manifest, load_bundle
from guard.decision_log import Witness
from guard.guard import Guard
from guard.promise import check_promise, shortfall
from guard.rules import Rules
from guard.secret import Secret
from guard.types import ApplyTo

log = structlog.get_logger()

Option = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Mode:
    """What flagged queries are answered, and who counts as such; None is what the bundle says."""

    policy: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    apply_to: ApplyTo | None = None
    rules: Rules | None = None  # in place of all three


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle that has answered a first batch, and takes queries as soon as a pipeline is made of it."""

    manifest: Manifest
    guard: Guard
    backend: Backend


def build_guard(manifest: Manifest, mode: Mode, secret: Secret | None) -> Guard:
    """Return the guard as the bundle says, or as the mode says instead; ConfigError names what does not fit."""
    return Guard.of(
        manifest,
        policy=mode.policy,
        options=mode.options,
        apply_to=mode.apply_to,
        secret=secret,
        rules=mode.rules,
        unguarded=True,
    )


class Loader:
    """Loads bundles as one gateway's settings say. `read` and `open` take seconds and may run in any thread."""

    def __init__(self, settings: GatewaySettings, metrics: Metrics, witnesses: Sequence[Witness] = ()) -> None:
        """ConfigError if the file of the secret, or of the rules, is not one."""
        rules = None if settings.rules_file is None else Rules.read(settings.rules_file)
        self.mode = Mode(settings.policy, settings.policy_options, settings.apply_to, rules)
        self._settings = settings
        self._metrics = metrics
        self._witnesses = witnesses
        self._secret = None if settings.secret_file is None else Secret.read(settings.secret_file)
        limits = settings.limits
        self._limits = Limits(limits.max_batch_rows, limits.max_delay_ms / 1000, limits.max_queue_rows)

    def read(self, source: Path) -> Bundle:
        """Return a bundle whose hash was checked; BundleError says what is wrong with it."""
        bundle = load_bundle(source)
        _check_guarded(bundle.manifest, source, allowed=self._settings.unguarded)
        return bundle

    def open(self, bundle: Bundle, mode: Mode) -> Loaded:
        """Return a bundle warmed up; BundleError if its model does not answer, ConfigError if policy or provider do not fit."""
        guard = self.guard(bundle.manifest, mode)  # first: it costs nothing
        return Loaded(bundle.manifest, guard, open_backend(bundle, self._settings))

    def guard(self, manifest: Manifest, mode: Mode) -> Guard:
        """Return a guard for a model in this mode; ConfigError names what does not fit."""
        guard = build_guard(manifest, mode, self._secret)
        _warn(guard, manifest.name, by_rules=mode.rules is not None)
        return guard

    def pipeline(self, loaded: Loaded) -> Pipeline:
        """Return the pipeline, its metrics bound; inside the running event loop."""
        bound = ModelMetrics(self._metrics, loaded.manifest, loaded.guard, provider=loaded.backend.provider)
        pipeline = Pipeline(loaded.manifest, loaded.backend, loaded.guard, bound, self._limits)
        pipeline.witnesses = self._witnesses
        return pipeline


def _check_guarded(manifest: Manifest, source: Path, *, allowed: bool) -> None:
    """BundleError unless the threshold that decides is of as many images as its promise takes, or it is served knowingly."""
    if not allowed:
        check_promise(manifest, called=str(source), way_out="serve it all the same: --unguarded")
    elif why := shortfall(manifest):
        log.warning("bundle_is_unguarded", model=manifest.name, model_version=manifest.version, advice=f"{why}; make it anew")


def _warn(guard: Guard, model: str, *, by_rules: bool) -> None:
    """Log what whoever chose the policies may not have meant."""
    choices = guard.choices
    visible = [c.flagged for c in choices if c.flagged != c.unflagged and not c.flagged.traits.looks_genuine]
    for policy in {policy.name: policy for policy in visible}.values():
        way_out = "" if policy.traits.refuses else "; let it answer all rows"
        log.warning("flag_is_visible", model=model, policy=policy.name, advice=f"its answers show who is flagged{way_out}")
    if by_rules and not any(choice.flagged.l1_budget for choice in choices):
        log.warning(
            "rules_change_nothing", model=model, advice="no rule alters an answer of this model; check the names in `when`"
        )
