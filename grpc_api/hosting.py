"""Hosting: which bundles are live, by name and version, and how a new one takes over from an old one."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any

import structlog

from grpc_api.loading import Loaded, Loader, Mode
from grpc_api.pipeline import Pipeline
from grpc_api.telemetry import Metrics
from guard.bundle import Manifest
from guard.errors import BundleError, ConfigError, KnockguardError, ModelNotFoundError
from guard.registry import nearest

log = structlog.get_logger()


class Outcome(StrEnum):
    """What became of one bundle of a reload. A closed set: it is a metric label."""

    ACCEPTED = "accepted"  # the new one answers
    UNCHANGED = "unchanged"  # the folder holds what is live already
    REJECTED = "rejected"  # the old one answers still


@dataclass(frozen=True, slots=True)
class Reloaded:
    """One bundle of a reload: what is live now at its folder, and for a rejected one why."""

    model: str
    version: str
    outcome: Outcome
    reason: str = ""


@dataclass(slots=True, eq=False)
class Release:
    """One bundle that is live. Whoever answers by it counts as a user, so that it ends after the last of them."""

    source: Path
    pipeline: Pipeline
    loaded_at: float = field(default_factory=time.time)  # seconds since 1970
    _users: int = 0
    _unused: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def manifest(self) -> Manifest:
        return self.pipeline.manifest

    @contextmanager
    def used(self) -> Iterator[Pipeline]:
        """Keep it answering until the block ends, whatever takes over meanwhile."""
        self._users += 1
        self._unused.clear()
        try:
            yield self.pipeline
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def close(self) -> None:
        """Wait for the last user, then end; nobody may begin to use it any more."""
        if self._users:
            await self._unused.wait()
        await self.pipeline.close()


class Hosting:
    """The releases of one gateway. Lives in one event loop; only reading and warming up happen in threads beside it."""

    def __init__(self, sources: Sequence[Path], loader: Loader, metrics: Metrics) -> None:
        """Load every bundle; ConfigError if two are the same model and version, BundleError for the first that is no good."""
        self._loader = loader
        self._metrics = metrics
        for outcome in Outcome:
            metrics.reloads.labels(outcome.value)  # from 0 on: Prometheus sees no increase in a counter that begins at 1
        self._modes: dict[str, Mode] = {}  # by model: what an operator said since the start, which a reload must not undo
        self._changing = asyncio.Lock()
        self._beside: set[asyncio.Task[Any]] = set()
        opened = [(source, loader.open(loader.read(source), loader.mode)) for source in sources]
        for (one, first), (other, second) in combinations(opened, 2):
            if _name(first.manifest) == _name(second.manifest):
                raise ConfigError(
                    f"{one} and {other} are both version {first.manifest.version} of model {first.manifest.name!r}; "
                    "give one of them a version of its own: knockguard protect --version N"
                )
        self._releases = [Release(source, loader.pipeline(loaded)) for source, loaded in opened]
        self._table = _table(self._releases)

    @property
    def releases(self) -> tuple[Release, ...]:
        """What is live, in the order in which it was given."""
        return tuple(self._releases)

    @property
    def ready(self) -> bool:
        """Whether every model would answer now."""
        return all(release.pipeline.ready for release in self._releases)

    def find(self, name: str, version: str = "") -> Release:
        """Return what answers for a model, its newest version if none is asked for; ModelNotFoundError names what there is."""
        versions = self._table.get(name)
        if versions is None:
            raise ModelNotFoundError(f"there is no model {name[:128]!r}{nearest(name, self._table)}")
        if version and version not in versions:
            raise ModelNotFoundError(f"model {name!r} has no version {version[:32]!r}; it has {', '.join(versions)}")
        return versions[version or list(versions)[-1]]

    def versions(self, name: str) -> tuple[str, ...]:
        """Return a model's versions, the oldest first; none for an unknown model."""
        return tuple(self._table.get(name, ()))

    async def reload(self, model: str = "") -> list[Reloaded]:
        """Read the folders of a model's bundles again, or all; each new one takes over, or is rejected and the old stays.

        ModelNotFoundError if there is no such model. A reload that is under way is waited for.
        """
        async with self._changing:
            chosen = [r for r in self._releases if model in ("", r.manifest.name)]
            if not chosen:
                raise ModelNotFoundError(f"there is no model {model[:128]!r}{nearest(model, self._table)}")
            return [await self._renewed(release) for release in chosen]

    def reload_soon(self) -> None:
        """Reload all, beside whatever runs: what a signal asks for."""
        self._keep(asyncio.create_task(self.reload()))

    def set_mode(self, model: str, mode: Mode) -> list[Release]:
        """Answer a model's flagged queries otherwise from now on, in all of its versions, or raise ConfigError and change none.

        It stands until the gateway ends, reloads included, and waits for none that is under way.
        """
        self.find(model)
        chosen = [r for r in self._releases if r.manifest.name == model]
        guards = [self._loader.guard(r.manifest, mode) for r in chosen]
        for release, guard in zip(chosen, guards, strict=True):
            release.pipeline.guard = guard
        self._modes[model] = mode
        return chosen

    async def close(self) -> None:
        """Finish what is queued, everywhere, and a reload that is under way."""
        await asyncio.gather(*self._beside)
        await asyncio.gather(*(release.pipeline.close() for release in self._releases), *self._beside)

    async def _renewed(self, old: Release) -> Reloaded:
        try:
            loaded = await self._fresh(old)
        except Exception as error:  # whatever a new bundle does, the old one goes on
            reason = str(error) if isinstance(error, KnockguardError) else f"it could not be loaded ({type(error).__name__})"
            unforeseen = None if isinstance(error, KnockguardError) else error
            log.error("bundle_rejected", **_told(old), reason=reason, exc_info=unforeseen)
            return self._counted(old, Outcome.REJECTED, reason)
        if loaded is None:
            return self._counted(old, Outcome.UNCHANGED)
        old.pipeline.metrics.forget()
        fresh = Release(old.source, self._loader.pipeline(loaded))
        self._releases[self._releases.index(old)] = fresh
        self._table = _table(self._releases)  # one assignment: a query meets the old one or the new one
        self._keep(asyncio.create_task(old.close()))
        log.info("bundle_reloaded", **_told(fresh), replaced=f"{old.manifest.version} ({old.manifest.digest})")
        return self._counted(fresh, Outcome.ACCEPTED)

    async def _fresh(self, old: Release) -> Loaded | None:
        """Return what a folder holds now, checked and warmed up; None if that is what is live."""
        bundle = await asyncio.to_thread(self._loader.read, old.source)
        if bundle.manifest == old.manifest:
            return None
        for other in self._releases:
            if other is not old and _name(other.manifest) == _name(bundle.manifest):
                raise BundleError(
                    f"version {bundle.manifest.version} of model {bundle.manifest.name!r} is live from {other.source}"
                )
        mode = self._mode(bundle.manifest)
        loaded = await asyncio.to_thread(self._loader.open, bundle, mode)
        if (now := self._mode(bundle.manifest)) != mode:  # an operator did not wait for us
            loaded = replace(loaded, guard=self._loader.guard(bundle.manifest, now))
        return loaded

    def _mode(self, manifest: Manifest) -> Mode:
        return self._modes.get(manifest.name, self._loader.mode)

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        """The loop itself forgets tasks that nobody holds."""
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _counted(self, release: Release, outcome: Outcome, reason: str = "") -> Reloaded:
        self._metrics.reloads.labels(outcome.value).inc()
        return Reloaded(*_name(release.manifest), outcome, reason)


def _name(manifest: Manifest) -> tuple[str, str]:
    return manifest.name, manifest.version


def _table(releases: Sequence[Release]) -> Mapping[str, Mapping[str, Release]]:
    """Return releases by name and version, versions from the oldest to the newest, which are numbers."""
    table: dict[str, dict[str, Release]] = {}
    for release in sorted(releases, key=lambda r: int(r.manifest.version)):
        table.setdefault(release.manifest.name, {})[release.manifest.version] = release
    return table


def _told(release: Release) -> dict[str, str]:
    manifest = release.manifest
    return {"model": manifest.name, "model_version": manifest.version, "bundle": manifest.digest}
