"""The two dependencies of a proxy, each by itself: what opens its breaker, what does not, and what is answered meanwhile."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from plain_host import PlainHost, plain_host
from spoilt_scores import KINDS, spoilt
from test_proxy import plain_model, wait_until
from tiny_bundle import rows_of, tiny_manifest, tiny_model

from grpc_api.backends.answer import Answer
from grpc_api.backends.proxy import Proxy
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Address, Upstream
from grpc_api.breaker import State
from grpc_api.dependency import Dependency, Fault
from grpc_api.failing import FailingSettings, FailMode
from grpc_api.waiting import Waiting
from guard.bundle import Bundle
from guard.errors import BackendError, DeadlineError, InvalidInputError, NotLoadedError

BUNDLE = Bundle(tiny_manifest(model=tiny_model()), tiny_model())
BRIGHT = rows_of(0.9)


@contextmanager
def proxied(
    host: PlainHost, *, mode: FailMode = FailMode.CLOSED, scorer: Scorer | None = None, **failing: float
) -> Iterator[Proxy]:
    told = FailingSettings(**{"detector": mode, "failures": 3, "probe_s": 0.05, "max_probe_s": 0.1, **failing})  # type: ignore[arg-type]
    with plain_host(host) as address:
        upstream = Upstream(Address(address, model="tiny", timeout_s=5.0), told)
        with closing(Proxy(BUNDLE.manifest, upstream, Answer("probabilities"), scorer, told)) as made:
            yield made


def parts(proxy: Proxy) -> tuple[Dependency, Dependency]:
    upstream, detector = proxy.dependencies
    return upstream, detector


def outcome(proxy: Proxy, rows: np.ndarray = BRIGHT) -> str:
    try:
        _, scores = proxy.infer(rows)
    except BackendError:
        return "failed"
    except NotLoadedError as error:
        return "away" if error.retry_after_s else "gone"
    return "unguarded" if scores is None else "guarded"


def nonsense(response: Any, _context: Any) -> Any:
    response.raw_output_contents[0] = np.full((response.outputs[0].shape[0], 3), 7, np.float32).tobytes()
    return response


def test_upstream_that_talks_nonsense_is_asked_by_us_alone_until_it_does_not() -> None:
    host = PlainHost(tiny_model())
    with proxied(host) as proxy:
        upstream, _ = parts(proxy)
        good, host.spoil = host.spoil, nonsense
        assert {outcome(proxy) for _ in range(3)} <= {"failed", "away"}
        wait_until(lambda: upstream.state is not State.CLOSED)
        assert upstream.faults[Fault.GARBAGE] >= 1
        host.asked.clear()
        assert {outcome(proxy) for _ in range(200)} == {"away"}
        assert all(request.inputs[0].shape[0] == 2 for request in host.asked)  # our own rows
        assert not proxy.ready
        host.spoil = good
        wait_until(lambda: outcome(proxy) == "guarded")
        assert (upstream.state, upstream.openings, proxy.ready) == (State.CLOSED, 1, True)


def test_inference_that_hangs_behind_a_server_that_says_it_is_ready_is_found_by_callers_who_left() -> None:
    host = PlainHost(tiny_model())
    told = FailingSettings(failures=3, probe_s=0.05, max_probe_s=0.1)
    with plain_host(host) as address:
        upstream = Upstream(Address(address, model="tiny", timeout_s=0.3), told)
        with closing(Proxy(BUNDLE.manifest, upstream, Answer("probabilities"), None, told)) as proxy:

            def hang(response: Any, _context: Any) -> Any:
                time.sleep(0.6)
                return response

            host.spoil = hang
            with pytest.raises(DeadlineError):  # its own, shorter than the upstream's: no proof of anything
                proxy.infer(BRIGHT, waiting=Waiting.of(0.05))
            wait_until(lambda: upstream.health.state is not State.CLOSED)
            assert upstream.health.faults[Fault.TIMEOUT] >= 1


def test_what_callers_bring_about_opens_no_breaker() -> None:
    host = PlainHost(tiny_model())

    def bad_day(response: Any, context: grpc.ServicerContext) -> Any:
        n_rows = response.outputs[0].shape[0]  # our own question has two
        if n_rows == 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not these")
        if n_rows == 3:
            time.sleep(0.05)
        if n_rows == 4:
            response.raw_output_contents[1] = np.full((4, 1), np.nan, np.float32).tobytes()
        return response

    with proxied(host) as proxy:
        host.spoil = bad_day
        refused, late, unscored = (rows_of(0.1, n) for n in (1, 3, 4))
        until = time.monotonic() + 0.5  # ten looks of the watch
        while time.monotonic() < until:
            with pytest.raises(InvalidInputError):
                proxy.infer(refused)
            with pytest.raises(DeadlineError):
                proxy.infer(late, waiting=Waiting.of(0.02))
            assert np.isnan(proxy.infer(unscored)[1]).all()
        assert [dependency.openings for dependency in parts(proxy)] == [0, 0]
        assert proxy.ready


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", FailMode)
def test_scores_of_the_upstream_that_are_none_close_or_open_as_told(kind: str, mode: FailMode) -> None:
    host = PlainHost(tiny_model())
    first, later = ("failed", "away") if mode is FailMode.CLOSED else ("unguarded", "unguarded")
    with proxied(host, mode=mode) as proxy:
        upstream, detector = parts(proxy)
        with spoilt(host, kind):
            # A row without a number may be its sender's doing: it is flagged until we have asked for ourselves.
            assert outcome(proxy) == ("guarded" if kind == "no_numbers" else first)
            wait_until(lambda: detector.state is not State.CLOSED)
            assert upstream.state is State.CLOSED
            host.asked.clear()
            assert outcome(proxy) == later
            mine = [[wish.name for wish in request.outputs] for request in host.asked if request.inputs[0].shape[0] == 1]
            assert mine == ([] if mode is FailMode.CLOSED else [["probabilities"]])
            assert proxy.ready is (mode is FailMode.OPEN)
        wait_until(lambda: outcome(proxy) == "guarded")
        assert (detector.state, detector.openings, upstream.openings) == (State.CLOSED, 1, 0)


@pytest.mark.parametrize("mode", FailMode)
def test_upstream_that_has_no_scores_any_more_is_the_detectors_matter_and_not_its_callers_input(mode: FailMode) -> None:
    """Some servers refuse a request for an output that they do not have, and say that it is invalid."""
    host = PlainHost(tiny_model())

    def plain(response: Any, context: grpc.ServicerContext) -> Any:
        if any(output.name == "scores" for output in response.outputs):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unexpected inference output 'scores'")
        return response

    with proxied(host, mode=mode) as proxy:
        upstream, detector = parts(proxy)
        good, host.spoil = host.spoil, plain
        with pytest.raises(InvalidInputError):
            proxy.infer(BRIGHT)
        wait_until(lambda: detector.state is not State.CLOSED)
        assert upstream.state is State.CLOSED
        assert outcome(proxy) == ("away" if mode is FailMode.CLOSED else "unguarded")
        host.spoil = good
        wait_until(lambda: outcome(proxy) == "guarded")


def test_upstream_that_comes_back_without_scores_answers_nobody_by_them() -> None:
    host = PlainHost(tiny_model())
    with proxied(host) as proxy:
        upstream, detector = parts(proxy)
        host.loaded = False
        wait_until(lambda: upstream.state is not State.CLOSED)
        with spoilt(host, "missing"):
            host.loaded = True
            wait_until(lambda: upstream.state is State.CLOSED)
            assert detector.state is not State.CLOSED  # since before the first query
        wait_until(lambda: outcome(proxy) == "guarded")


def scorer_of(nodes: list[tuple[str, list[str], list[str], dict[str, int]]], **constants: np.ndarray) -> Scorer:
    """The tiny model's scores times the tensor `weights` that these nodes make of `brightness`."""
    model = onnx.load_model_from_string(tiny_model())
    graph = model.graph
    del graph.node[-1]
    graph.node.extend(helper.make_node(*node, **options) for *node, options in nodes)
    graph.node.append(helper.make_node("Mul", ["brightness", "weights"], ["scores"]))
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return Scorer(Bundle(BUNDLE.manifest, model.SerializeToString()), provider="cpu", threads=1)


def fragile() -> Scorer:
    """Fails for a row that is brighter than .8: it looks up an entry that no table has."""
    nodes = [
        ("Greater", ["brightness", "level"], ["too_bright"], {}),
        ("Cast", ["too_bright"], ["index"], {"to": TensorProto.INT64}),
        ("Gather", ["table", "index"], ["weights"], {"axis": 0}),
    ]
    return scorer_of(nodes, level=np.float32(0.8), table=np.ones(1, np.float32))


def slow() -> Scorer:
    """Multiplies large matrices, .4 s long on a fast core and seconds on a slow one, for rows brighter than .8 on average."""
    nodes = [
        ("ReduceMean", ["brightness"], ["mean"], {"keepdims": 0}),
        ("Greater", ["mean", "level"], ["too_bright"], {}),
        ("Where", ["too_bright", "large", "small"], ["shape"], {}),
        ("Expand", ["mean", "shape"], ["power_0"], {}),
        *(("MatMul", [f"power_{i}", f"power_{i}"], [f"power_{i + 1}"], {}) for i in range(12)),
        ("ReduceMean", ["power_12"], ["total"], {"keepdims": 0}),
        ("Min", ["total", "one"], ["little"], {}),
        ("Max", ["little", "one"], ["weights"], {}),
    ]
    large, small = np.array([1600, 1600]), np.array([8, 8])
    return scorer_of(nodes, level=np.float32(0.8), one=np.float32(1), large=large, small=small)


@pytest.mark.parametrize("mode", FailMode)
def test_graph_beside_that_fails_closes_or_opens_as_told(mode: FailMode) -> None:
    with proxied(PlainHost(plain_model("probabilities")), mode=mode, scorer=fragile()) as proxy:
        upstream, detector = parts(proxy)
        assert outcome(proxy, rows_of(0.8)) == "guarded"
        assert outcome(proxy, rows_of(0.95)) == ("failed" if mode is FailMode.CLOSED else "unguarded")
        assert (detector.faults[Fault.ERROR], detector.state) == (1, State.CLOSED)
        until = time.monotonic() + 5
        while detector.openings == 0 and time.monotonic() < until:  # three in a row
            outcome(proxy, rows_of(0.95))
        assert outcome(proxy, rows_of(0.8)) in ("away", "unguarded")
        wait_until(lambda: outcome(proxy, rows_of(0.8)) == "guarded")  # our own rows have scores
        assert upstream.openings == 0


@pytest.mark.parametrize("mode", FailMode)
def test_scores_that_are_late_by_the_gateways_clock_are_a_fault(mode: FailMode) -> None:
    host = PlainHost(plain_model("probabilities"))
    with proxied(host, mode=mode, scorer=slow(), detector_timeout_s=0.1) as proxy:
        _, detector = parts(proxy)
        assert outcome(proxy, rows_of(0.7)) == "guarded"
        started = time.monotonic()
        assert outcome(proxy, rows_of(0.95)) == ("failed" if mode is FailMode.CLOSED else "unguarded")
        assert detector.faults[Fault.TIMEOUT] == 1
        wait_until(lambda: outcome(proxy, rows_of(0.7)) == "guarded")
        assert time.monotonic() - started > 0.15  # the graph was still at work when the callers had their answer


def test_scores_that_are_late_by_the_callers_clock_leave_nobody_unguarded() -> None:
    """Else whoever is in a hurry would be."""
    with proxied(PlainHost(plain_model("probabilities")), mode=FailMode.OPEN, scorer=slow()) as proxy:
        _, detector = parts(proxy)
        for _ in range(5):
            with pytest.raises(DeadlineError):
                proxy.infer(rows_of(0.95), waiting=Waiting.of(0.05))
        assert detector.faults.total() == 0
        wait_until(lambda: outcome(proxy, rows_of(0.7)) == "guarded")
        assert detector.openings == 0
