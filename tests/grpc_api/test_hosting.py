"""Several bundles in one gateway, and new ones that take over while queries are answered."""

import asyncio
import gc
import json
import shutil
import signal
import time
import weakref
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tritonclient.grpc as triton
from prometheus_client import CollectorRegistry
from tiny_bundle import rows_of, tiny_manifest, tiny_model, write_tiny
from tritonclient.utils import InferenceServerException

from grpc_api.client import GuardClient
from grpc_api.hosting import Hosting, Outcome
from grpc_api.loading import Loaded, Loader, Mode
from grpc_api.settings import GatewaySettings
from grpc_api.telemetry import Metrics
from guard.bundle import Bundle, write_bundle
from guard.errors import ConfigError, ModelNotFoundError
from guard.types import ApplyTo


def hosting(*sources: Path, **settings: Any) -> tuple[Hosting, CollectorRegistry]:
    """Bundles in this process; inside a running loop."""
    metrics = Metrics(CollectorRegistry())
    return Hosting(sources, Loader(GatewaySettings.of({"bundles": sources, **settings}), metrics), metrics), metrics.registry


def write_stricter(folder: Path, value: float, **names: str) -> None:
    """Put a bundle in the place of another, with the same model and another threshold."""
    model = tiny_model()
    manifest = tiny_manifest(model=model, **names)
    (detector,) = manifest.detectors
    threshold = detector.threshold.__class__(value, 0.05, 0.99, 500, 0.03)
    detectors = (detector.model_copy(update={"threshold": threshold}),)
    write_bundle(folder, manifest=manifest.model_copy(update={"detectors": detectors}), model=model, force=True)


def gauges(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of its labels, in the labels' order."""
    samples = [s for family in registry.collect() for s in family.samples if s.name == name]
    return {tuple(s.labels.values()): s.value for s in samples}


async def labels_of(hosted: Hosting, level: float, **query: Any) -> np.ndarray:
    with hosted.find("tiny", **query).used() as pipeline:
        return await pipeline.answer(rows_of(level), tenant="anonymous", timeout_s=None)


def test_newest_version_answers_unless_another_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, _ = hosting(write_tiny(tmp_path / "b", version="10"), write_tiny(tmp_path / "a", version="9"))
        assert hosted.versions("tiny") == ("9", "10")
        assert hosted.find("tiny").manifest.version == "10"
        assert hosted.find("tiny", "9").manifest.version == "9"
        with pytest.raises(ModelNotFoundError, match="no version '3'; it has 9, 10"):
            hosted.find("tiny", "3")
        with pytest.raises(ModelNotFoundError, match="did you mean 'tiny'"):
            hosted.find("tinny")
        await hosted.close()

    asyncio.run(main())


def test_two_bundles_of_one_name_and_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both version 3 of model 'tiny'"):
        hosting(write_tiny(tmp_path / "a"), write_tiny(tmp_path / "b"))


def test_recalibrated_bundle_takes_over_and_the_metrics_say_so(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, registry = hosting(write_tiny(tmp_path / "tiny"), policy="label-only")
        before = hosted.find("tiny").manifest.digest
        assert (await labels_of(hosted, 0.4)).max() < 1
        assert [r.outcome for r in await hosted.reload()] == [Outcome.UNCHANGED]
        write_stricter(tmp_path / "tiny", 0.25)
        assert [(r.model, r.version, r.outcome) for r in await hosted.reload("tiny")] == [("tiny", "3", Outcome.ACCEPTED)]
        after = hosted.find("tiny").manifest.digest
        assert (await labels_of(hosted, 0.4)).max() == 1
        assert before != after
        assert gauges(registry, "knockguard_bundle_info") == {("tiny", "3", after): 1}
        assert gauges(registry, "knockguard_threshold") == {("tiny", "3", "linear"): 0.25}
        assert gauges(registry, "knockguard_bundle_reloads_total") == {("unchanged",): 1, ("accepted",): 1, ("rejected",): 0}
        assert gauges(registry, "knockguard_score_count") == {("tiny", "3", "linear"): 1}  # edges are new, so counts begin anew
        await hosted.close()

    asyncio.run(main())


def test_new_version_replaces_the_old_one_of_its_folder(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, registry = hosting(write_tiny(tmp_path / "tiny"), write_tiny(tmp_path / "other", name="other"))
        write_stricter(tmp_path / "tiny", 0.25, version="4")
        (done,) = await hosted.reload("tiny")
        assert (done.outcome, done.version) == (Outcome.ACCEPTED, "4")
        assert hosted.versions("tiny") == ("4",)
        assert set(gauges(registry, "knockguard_threshold")) == {("tiny", "4", "linear"), ("other", "3", "linear")}
        assert {labels[:2] for labels in gauges(registry, "knockguard_score_count")} == {("tiny", "4"), ("other", "3")}
        await hosted.close()

    asyncio.run(main())


def altered_model(folder: Path) -> str:
    (folder / "model.onnx").write_bytes(tiny_model() + b"\0")
    return "does not match its manifest"


def no_graph(folder: Path) -> str:
    manifest = tiny_manifest(model=b"no graph")
    write_bundle(folder, manifest=manifest, model=b"no graph", force=True)
    return "not an ONNX file"


def more_labels(folder: Path) -> str:
    model = tiny_model()
    manifest = tiny_manifest(model=model).model_copy(update={"labels": ("a", "b", "c", "d")})
    write_bundle(folder, manifest=manifest, model=model, force=True)
    return "4 labels"


def gone(folder: Path) -> str:
    shutil.rmtree(folder)
    return "no bundle"


def the_others_name(folder: Path) -> str:
    write_stricter(folder, 0.25, name="other")
    return "is live from"


@pytest.mark.parametrize("spoil", [altered_model, no_graph, more_labels, gone, the_others_name])
def test_bad_bundle_is_rejected_and_the_old_one_answers_on(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    async def main() -> None:
        hosted, registry = hosting(write_tiny(tmp_path / "tiny"), write_tiny(tmp_path / "other", name="other"))
        live = hosted.find("tiny")
        sentence = spoil(tmp_path / "tiny")
        (done,) = await hosted.reload("tiny")
        assert done.outcome is Outcome.REJECTED
        assert sentence in done.reason
        assert hosted.find("tiny") is live
        assert (await labels_of(hosted, 0.1)).shape == (1, 3)
        assert gauges(registry, "knockguard_bundle_reloads_total") == {("unchanged",): 0, ("accepted",): 0, ("rejected",): 1}
        assert gauges(registry, "knockguard_threshold")["tiny", "3", "linear"] == 0.5
        await hosted.close()

    asyncio.run(main())


def test_query_that_began_with_the_old_bundle_ends_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, _ = hosting(write_tiny(tmp_path / "tiny"), policy="label-only")
        with hosted.find("tiny").used() as old:
            write_stricter(tmp_path / "tiny", 0.25)
            await hosted.reload()
            await asyncio.sleep(0.05)
            answer = await old.answer(rows_of(0.4), tenant="anonymous", timeout_s=None)
            assert answer.max() < 1  # by the old threshold
        await hosted.close()

    asyncio.run(main())


def test_model_that_was_replaced_is_freed_without_waiting_for_the_garbage_collector(tmp_path: Path) -> None:
    class Seeing(Loader):
        """A loader that knows which models it opened, and keeps none of them."""

        sessions: ClassVar[list[weakref.ref[Any]]] = []

        def open(self, bundle: Bundle, mode: Mode) -> Loaded:
            loaded = super().open(bundle, mode)
            self.sessions.append(weakref.ref(vars(loaded.backend)["_session"]))
            return loaded

    async def main() -> None:
        source, metrics = write_tiny(tmp_path / "tiny"), Metrics(CollectorRegistry())
        hosted = Hosting([source], Seeing(GatewaySettings.of({"bundles": [source]}), metrics), metrics)
        for number in range(4, 7):
            write_stricter(source, 0.25, version=str(number))
            await labels_of(hosted, 0.1)
            assert [r.outcome for r in await hosted.reload()] == [Outcome.ACCEPTED]
        for _ in range(500):
            if not any(session() for session in Seeing.sessions[:-1]):
                break
            await asyncio.sleep(0.01)
        assert [session() is not None for session in Seeing.sessions] == [False, False, False, True]
        await hosted.close()

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_mode_that_an_operator_set_outlives_a_reload(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, _ = hosting(write_tiny(tmp_path / "tiny"), policy="label-only")
        hosted.set_mode("tiny", Mode("observe"))
        assert (await labels_of(hosted, 0.9)).max() < 1
        write_stricter(tmp_path / "tiny", 0.25)
        await hosted.reload()
        assert (await labels_of(hosted, 0.9)).max() < 1
        await hosted.close()

    asyncio.run(main())


class Slow(Loader):
    """A loader of large models."""

    def open(self, bundle: Bundle, mode: Mode) -> Loaded:
        time.sleep(0.3)
        return super().open(bundle, mode)


def test_mode_is_set_at_once_while_a_bundle_is_loaded_and_stands_on_that_bundle_too(tmp_path: Path) -> None:
    async def main() -> None:
        source, metrics = write_tiny(tmp_path / "tiny"), Metrics(CollectorRegistry())
        settings = GatewaySettings.of({"bundles": [source], "policy": "label-only"})
        hosted = Hosting([source], Slow(settings, metrics), metrics)
        write_stricter(source, 0.25)
        reload = asyncio.create_task(hosted.reload())
        await asyncio.sleep(0.1)
        hosted.set_mode("tiny", Mode("observe"))
        assert not reload.done()
        assert (await labels_of(hosted, 0.9)).max() < 1
        assert [r.outcome for r in await reload] == [Outcome.ACCEPTED]
        assert (await labels_of(hosted, 0.9)).max() < 1
        await hosted.close()

    asyncio.run(main())


def test_mode_that_does_not_fit_changes_no_version(tmp_path: Path) -> None:
    async def main() -> None:
        hosted, _ = hosting(write_tiny(tmp_path / "tiny"), policy="label-only")
        with pytest.raises(ConfigError, match="needs a secret"):
            hosted.set_mode("tiny", Mode("shuffle", apply_to=ApplyTo.ALL))
        with pytest.raises(ModelNotFoundError):
            hosted.set_mode("none", Mode("observe"))
        assert hosted.find("tiny").pipeline.guard.policy.name == "label-only"
        await hosted.close()

    asyncio.run(main())


def test_every_model_of_a_gateway_has_its_own_metadata_and_readiness(tmp_path: Path, start: Any) -> None:
    folders = [
        write_tiny(tmp_path / n, name=name, version=v) for n, name, v in (("a", "one", "1"), ("b", "one", "2"), ("c", "two", "7"))
    ]
    with start(*folders) as served, triton.InferenceServerClient(served.address) as client:
        index = client.get_model_repository_index(as_json=True)["models"]
        assert [(m["name"], m["version"], m["state"]) for m in index] == [
            ("one", "1", "READY"), ("one", "2", "READY"), ("two", "7", "READY"),
        ]  # fmt: skip
        assert list(client.get_model_metadata("one").versions) == ["1", "2"]
        assert client.is_model_ready("two", "7")
        with pytest.raises(InferenceServerException, match="no version '7'"):
            client.is_model_ready("one", "7")
        item = triton.InferInput("image", [1, 3, 4, 4], "FP32")
        item.set_data_from_numpy(rows_of(0.2))
        for asked, found in (("", "2"), ("1", "1"), ("2", "2")):
            assert client.infer("one", [item], model_version=asked).get_response().model_version == found


def test_no_query_is_lost_while_bundles_take_over_from_each_other(tmp_path: Path, start: Any) -> None:
    folder = write_tiny(tmp_path / "tiny")
    n_reloads, versions = 5, set()

    async def ask(address: str, stop: asyncio.Event) -> int:
        n_answers = 0
        async with GuardClient(address) as client:
            while not stop.is_set():
                answer = await client.infer("tiny", "image", rows_of(0.4, 2))
                assert answer.shape == (2, 3)
                n_answers += 1
        return n_answers

    async def main(served: Any) -> None:
        stop = asyncio.Event()
        askers = [asyncio.create_task(ask(served.address, stop)) for _ in range(6)]
        async with GuardClient(served.address) as client:
            for number in range(4, 4 + n_reloads):
                write_stricter(folder, 0.25, version=str(number))
                served.process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 10
                while (await client.metadata("tiny")).versions != [str(number)] and time.monotonic() < deadline:
                    await asyncio.sleep(0.02)
                versions.update((await client.metadata("tiny")).versions)
        stop.set()
        assert sum(await asyncio.gather(*askers)) >= 6 * n_reloads  # none raised

    with start(folder, "--policy", "label-only") as served:
        asyncio.run(main(served))
        served.end()
        log = served.log.read_text()
    assert versions == {str(n) for n in range(4, 4 + n_reloads)}
    events = [json.loads(line) for line in log.splitlines()]
    assert [e["model_version"] for e in events if e["event"] == "bundle_reloaded"] == sorted(versions)
    assert not [e for e in events if e["level"] == "error"]


def test_digest_changes_with_the_threshold_and_not_with_the_folder(tmp_path: Path) -> None:
    model = tiny_model()
    one, same = tiny_manifest(model=model), tiny_manifest(model=model)
    assert one.digest == same.digest
    assert one.digest != one.model_copy(update={"version": "4"}).digest
    assert one.digest not in sha256(model).hexdigest()
