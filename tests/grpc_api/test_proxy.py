"""The proxy in front of somebody else's server: the same answers, nothing more than asked for, and each failure as told."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import helper
from plain_host import PlainHost, plain_host
from tiny_bundle import rows_of, tiny_manifest, tiny_model

from grpc_api.backends.answer import Answer
from grpc_api.backends.embedded import Embedded
from grpc_api.backends.proxy import Proxy
from grpc_api.backends.scorer import Scorer
from grpc_api.backends.upstream import Address, Upstream
from grpc_api.waiting import Waiting
from guard.bundle import Bundle
from guard.errors import (
    BackendError,
    BundleError,
    ConfigError,
    DeadlineError,
    InvalidInputError,
    KnockguardError,
    NotLoadedError,
    QuotaExceededError,
)

BUNDLE = Bundle(tiny_manifest(model=tiny_model()), tiny_model())
ROWS = np.concatenate([rows_of(0.1, 2), rows_of(0.9)])
PROBABILITIES = Answer("probabilities")


def plain_model(*outputs: str) -> bytes:
    """The tiny model with other outputs: logits is one of its inner tensors."""
    model = onnx.load_model_from_string(tiny_model())
    kept = {o.name: o for o in model.graph.output} | {"logits": helper.make_tensor_value_info("logits", 1, ["n", 3])}
    del model.graph.output[:]
    model.graph.output.extend(kept[name] for name in outputs)
    return model.SerializeToString()


@pytest.fixture
def host() -> PlainHost:
    return PlainHost(tiny_model())


@pytest.fixture
def proxy(host: PlainHost) -> Iterator[Proxy]:
    with plain_host(host) as address, closing(opened(address)) as made:
        host.asked.clear()
        host.remaining_s.clear()
        yield made


def opened(target: str, *, answer: Answer = PROBABILITIES, scorer: Scorer | None = None, **address: Any) -> Proxy:
    upstream = Upstream(Address(target, **{"model": "tiny", "timeout_s": 5.0, **address}))
    return Proxy(BUNDLE.manifest, upstream, answer, scorer)


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("max_rows", [1, 2, 3, 8])
@pytest.mark.parametrize("beside", [False, True])
def test_request_larger_than_the_upstream_takes_goes_in_parts_and_comes_back_whole(
    host: PlainHost, max_rows: int, beside: bool
) -> None:
    rows = np.random.default_rng(0).random((5, 3, 4, 4), dtype=np.float32)
    scorer = Scorer(BUNDLE, provider="cpu") if beside else None
    with plain_host(host) as address, closing(opened(address, scorer=scorer, max_rows=max_rows)) as made:
        assert made.ready
        assert max(request.inputs[0].shape[0] for request in host.asked) <= max_rows  # what it was asked before, too
        host.asked.clear()
        found = made.infer(rows)
        sent = [request.inputs[0].shape[0] for request in host.asked]
    assert sent == [len(rows[start : start + max_rows]) for start in range(0, 5, max_rows)]
    for part, expected in zip(found, Embedded(BUNDLE, provider="cpu").infer(rows), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6)


def test_request_larger_than_a_message_goes_in_parts(host: PlainHost) -> None:
    """A request in bytes is four times as large on the way to the upstream."""
    rows = np.random.default_rng(0).random((800, 3, 4, 4), dtype=np.float32)
    with plain_host(host) as address, closing(opened(address, max_message_bytes=(64 << 10) + 300 * rows[0].nbytes)) as made:
        host.asked.clear()
        found = made.infer(rows)
        sent = [n for request in host.asked if (n := request.inputs[0].shape[0]) != 2]
    assert sent == [300, 300, 200]
    for part, expected in zip(found, Embedded(BUNDLE, provider="cpu").infer(rows), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5)


def test_request_that_the_upstream_will_never_take_is_not_to_be_tried_again(proxy: Proxy) -> None:
    """The host is grpcio as it comes: it takes no message beyond 4 MiB, by the status of who has too much to do."""
    n_rows = (4 << 20) // (3 * 4 * 4 * 4) + 1
    with pytest.raises(InvalidInputError, match="too large for the model; send fewer rows at once"):
        proxy.infer(np.zeros((n_rows, 3, 4, 4), np.float32))
    assert len(proxy.infer(ROWS)[0]) == 3


def test_parts_share_the_callers_deadline(host: PlainHost) -> None:
    def slowly(response: Any, _context: Any) -> Any:
        time.sleep(0.2)
        return response

    with plain_host(host) as address, closing(opened(address, max_rows=1)) as made:
        host.spoil = slowly
        began = time.monotonic()
        with pytest.raises(DeadlineError):
            made.infer(np.zeros((40, 3, 4, 4), np.float32), waiting=Waiting.of(0.5))
        assert time.monotonic() - began < 4  # eight seconds for all parts


def test_caller_who_leaves_is_called_off_there_and_asks_for_no_further_part(host: PlainHost) -> None:
    called_off, there = Event(), Event()

    def never(response: Any, context: grpc.ServicerContext) -> Any:
        if response.outputs[0].shape[0] != 3:  # our own question has two rows
            return response
        context.add_callback(called_off.set)
        there.set()
        called_off.wait(5)
        return response

    with plain_host(host) as address, closing(opened(address, max_rows=3)) as made, ThreadPoolExecutor(1) as thread:
        host.spoil, host.asked[:] = never, []
        began = time.monotonic()
        for _ in range(6):  # one more than opens a breaker
            there.clear()
            called_off.clear()
            waiting = Waiting()
            work = thread.submit(made.infer, np.zeros((30, 3, 4, 4), np.float32), waiting=waiting)
            assert there.wait(5)
            waiting.leave()
            with pytest.raises(DeadlineError, match="left before the model answered"):
                work.result(5)
            assert called_off.wait(5)
        assert time.monotonic() - began < 5
        assert [request.inputs[0].shape[0] for request in host.asked if request.inputs[0].shape[0] != 2] == [3] * 6
        with pytest.raises(DeadlineError, match="left before the model was asked"):
            made.infer(ROWS, waiting=waiting)
        upstream, _ = made.dependencies
        assert (made.ready, upstream.faults.total(), upstream.openings) == (True, 0, 0)


def test_fused_model_upstream_answers_as_the_embedded_one(proxy: Proxy) -> None:
    for found, expected in zip(proxy.infer(ROWS), Embedded(BUNDLE, provider="cpu").infer(ROWS), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert proxy.provider == "upstream"
    assert proxy.ready


def test_nothing_but_probabilities_and_scores_is_asked_for(proxy: Proxy, host: PlainHost) -> None:
    proxy.infer(ROWS)
    (request,) = host.asked
    assert [wish.name for wish in request.outputs] == ["probabilities", "scores"]
    assert (request.model_name, request.model_version, dict(request.parameters)) == ("tiny", "", {})


@pytest.mark.parametrize(
    ("outputs", "answer"), [(("probabilities",), PROBABILITIES), (("logits",), Answer("logits", logits=True))]
)
def test_plain_model_upstream_and_scores_from_beside_answer_as_the_embedded_one(outputs: tuple[str, ...], answer: Answer) -> None:
    scorer = Scorer(BUNDLE, provider="cpu")
    with plain_host(PlainHost(plain_model(*outputs))) as address, closing(opened(address, answer=answer, scorer=scorer)) as proxy:
        for found, expected in zip(proxy.infer(ROWS), Embedded(BUNDLE, provider="cpu").infer(ROWS), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert proxy.provider == "upstream+CPUExecutionProvider"


def test_scorer_needs_no_more_than_a_graph_of_scores() -> None:
    detector = Bundle(BUNDLE.manifest, plain_model("scores"))
    np.testing.assert_allclose(Scorer(detector, provider="cpu").scores(ROWS), Embedded(BUNDLE, provider="cpu").infer(ROWS)[1])
    with pytest.raises(BundleError, match="has no output 'scores'"):
        Scorer(Bundle(BUNDLE.manifest, plain_model("probabilities")), provider="cpu")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, NotLoadedError),
        (grpc.StatusCode.NOT_FOUND, NotLoadedError),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInputError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, QuotaExceededError),
        (grpc.StatusCode.INTERNAL, BackendError),
        (grpc.StatusCode.UNAUTHENTICATED, BackendError),
        (grpc.StatusCode.UNKNOWN, BackendError),
    ],
)
def test_upstreams_failure_becomes_ours_and_its_words_stay_inside(
    proxy: Proxy, host: PlainHost, code: grpc.StatusCode, kind: type[KnockguardError]
) -> None:
    host.spoil = lambda _response, context: context.abort(code, "scores of /srv/model.onnx at 10.0.0.7")
    with pytest.raises(KnockguardError) as caught:
        proxy.infer(ROWS)
    assert type(caught.value) is kind
    assert not any(word in str(caught.value) for word in ("scores", "srv", "10.0.0.7"))


def test_trailers_without_end_fail_the_call_and_no_more(proxy: Proxy, host: PlainHost) -> None:
    def chatty(_response: Any, context: grpc.ServicerContext) -> Any:
        context.set_trailing_metadata((("note", "x" * (64 << 10)),))
        context.abort(grpc.StatusCode.INTERNAL, "y" * (1 << 10))

    host.spoil = chatty
    with pytest.raises(KnockguardError) as caught:
        proxy.infer(ROWS)
    assert len(str(caught.value)) < 200
    host.spoil = lambda response, _context: response
    assert len(proxy.infer(ROWS)[0]) == 3


def test_upstream_that_says_when_to_come_back_is_believed_within_reason(proxy: Proxy, host: PlainHost) -> None:
    from grpc_api.statuses import retry_metadata

    def busy(seconds: float) -> Callable[[Any, grpc.ServicerContext], Any]:
        def spoil(_response: Any, context: grpc.ServicerContext) -> Any:
            context.set_trailing_metadata(retry_metadata(QuotaExceededError("busy", retry_after_s=seconds)))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")

        return spoil

    for said, heard in ((2.5, 2.5), (1e6, 30.0)):
        host.spoil = busy(said)
        with pytest.raises(QuotaExceededError) as caught:
            proxy.infer(ROWS)
        assert caught.value.retry_after_s == heard


def garbage() -> dict[str, Callable[[Any, Any], Any]]:
    def shorter(response: Any, _context: Any) -> Any:
        response.raw_output_contents[0] = response.raw_output_contents[0][:-4]
        return response

    def fewer(response: Any, _context: Any) -> Any:
        del response.raw_output_contents[1]
        return response

    def nameless(response: Any, _context: Any) -> Any:
        response.outputs[1].name = "points"
        return response

    def another_type(response: Any, _context: Any) -> Any:
        response.outputs[0].datatype = "BYTES"
        return response

    def fewer_rows(response: Any, _context: Any) -> Any:
        response.outputs[0].shape[:] = [1, 3]
        response.raw_output_contents[0] = response.raw_output_contents[0][:12]
        return response

    def absurd(response: Any, _context: Any) -> Any:
        response.outputs[0].shape[:] = [1 << 40, 1 << 40]
        return response

    def logits(response: Any, _context: Any) -> Any:
        response.raw_output_contents[0] = np.full((3, 3), 7, np.float32).tobytes()
        return response

    return {f.__name__: f for f in (shorter, fewer, nameless, another_type, fewer_rows, absurd, logits)}


@pytest.mark.parametrize("kind", garbage())
def test_garbage_from_upstream_is_its_failure(proxy: Proxy, host: PlainHost, kind: str) -> None:
    host.spoil = garbage()[kind]
    with pytest.raises(BackendError, match="the model"):
        proxy.infer(ROWS)


def test_upstream_gets_the_callers_deadline_and_its_own_otherwise(proxy: Proxy, host: PlainHost) -> None:
    proxy.infer(ROWS, waiting=Waiting.of(2.0))
    proxy.infer(ROWS, waiting=Waiting.of(60.0))
    first, second = host.remaining_s
    assert first is not None
    assert second is not None
    assert 1.0 < first < 2.1 < second < 5.1


def test_late_answer_is_the_callers_deadline_or_the_upstreams_fault() -> None:
    host = PlainHost(tiny_model())
    with plain_host(host) as address, closing(opened(address, timeout_s=0.3)) as proxy:

        def slow(response: Any, _context: Any) -> Any:
            time.sleep(0.6)
            return response

        host.spoil = slow
        with pytest.raises(DeadlineError):
            proxy.infer(ROWS, waiting=Waiting.of(0.1))
        with pytest.raises(BackendError, match=r"did not answer within 0\.3 s"):
            proxy.infer(ROWS, waiting=Waiting.of(30.0))


def test_upstream_that_is_gone_fails_at_once_and_is_found_again() -> None:
    host = PlainHost(tiny_model())
    with plain_host(host) as address, closing(opened(address)) as proxy:
        port = int(address.rpartition(":")[2])
        assert proxy.ready
        host.loaded = False
        wait_until(lambda: not proxy.ready)
        with pytest.raises(NotLoadedError):
            proxy.infer(ROWS)
        host.loaded = True
        wait_until(lambda: proxy.ready)
        proxy.infer(ROWS)
    with closing(opened(address)) as proxy:  # nobody is there yet
        assert not proxy.ready
        with pytest.raises(NotLoadedError):
            proxy.infer(ROWS)
        with plain_host(PlainHost(tiny_model()), port=port):
            wait_until(lambda: proxy.ready)
            assert len(proxy.infer(ROWS)[0]) == 3


def test_model_that_does_not_fit_the_bundle_is_refused_at_the_start_with_what_would_fit() -> None:
    with plain_host(PlainHost(plain_model("probabilities"))) as address:
        with pytest.raises(BundleError, match=r"FP32 'image' of shape \[-1, 3, 4, 4\].*'scores' from the bundle's fused model"):
            opened(address)
        with pytest.raises(BundleError, match="give 'logits' with 3 classes"):
            opened(address, answer=Answer("logits"), scorer=Scorer(BUNDLE, provider="cpu"))
    with plain_host(PlainHost(plain_model("logits"))) as address, pytest.raises(BundleError, match=r"upstream\.logits"):
        opened(address, answer=Answer("logits"), scorer=Scorer(BUNDLE, provider="cpu"))


def test_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the upstream's CA file .*none\.pem"):
        Upstream(Address("127.0.0.1:1", model="tiny", ca_file=tmp_path / "none.pem"))
