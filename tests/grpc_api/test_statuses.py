"""Errors and statuses: no gap in the table, and nothing of the server in what a client reads."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from grpc_api.statuses import DETAILS, OURS, STATUSES, error_of, retry_metadata, status_of, told
from guard import errors
from guard.errors import KnockguardError, QuotaExceededError
from knockguard.exits import EXITS, exit_code


def tree(kind: type[KnockguardError] = KnockguardError) -> Iterator[type[KnockguardError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


def build(kind: type[KnockguardError]) -> KnockguardError:
    return kind("why", retry_after_s=1.5) if kind is QuotaExceededError else kind("why")


@pytest.mark.parametrize("kind", list(tree()), ids=lambda k: k.__name__)
def test_every_error_has_a_status_or_is_ours_to_hide(kind: type[KnockguardError]) -> None:
    assert issubclass(kind, OURS) != any(base in STATUSES for base in kind.__mro__)


@pytest.mark.parametrize("kind", [*tree(), KnockguardError], ids=lambda k: k.__name__)
def test_every_error_has_an_exit_code(kind: type[KnockguardError]) -> None:
    assert 0 < exit_code(build(kind)) <= 5
    assert EXITS[KnockguardError] == 1


def test_all_else_is_internal() -> None:
    assert status_of(ZeroDivisionError()) is grpc.StatusCode.INTERNAL
    assert status_of(errors.BundleError("/srv/models/secret")) is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("kind", [k for k in STATUSES if not k.__subclasses__()], ids=lambda k: k.__name__)
def test_client_meets_the_status_it_was_sent(kind: type[KnockguardError]) -> None:
    assert status_of(error_of(status_of(build(kind)), "why")) is status_of(build(kind))


def test_message_of_any_length_is_told_within_what_a_trailer_holds() -> None:
    assert told(KnockguardError("short")) == "short"
    long = told(KnockguardError("\u4e2d" * 100_000 + " the model has 'probabilities'"))
    assert len(long.encode()) * 3 < 8192
    assert long.endswith("the model has 'probabilities'")


@pytest.mark.parametrize("trailers", [(), ((DETAILS, b"\xff\xff"),), (("x", b""), (DETAILS, b""))])
def test_server_that_does_not_say_when_is_tried_again_in_a_second(trailers: tuple[tuple[str, bytes], ...]) -> None:
    error = error_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailers)
    assert isinstance(error, QuotaExceededError)
    assert error.retry_after_s == 1.0


def test_full_queue_tells_when_to_try_again() -> None:
    ((name, content),) = retry_metadata(QuotaExceededError("full", retry_after_s=1.5))
    assert name == "grpc-status-details-bin"
    status = Status.FromString(content)
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, info.retry_delay.seconds, info.retry_delay.nanos) == (8, 1, 500_000_000)
    heard = error_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", ((name, content),))
    assert isinstance(heard, QuotaExceededError)
    assert heard.retry_after_s == 1.5


def test_what_is_not_there_tells_when_to_come_back_only_where_that_is_known() -> None:
    known = errors.StoreError("away", retry_after_s=2.25)
    heard = error_of(grpc.StatusCode.UNAVAILABLE, "away", retry_metadata(known))
    assert isinstance(heard, errors.UnavailableError)
    assert heard.retry_after_s == 2.25
    assert retry_metadata(errors.BackendError("failed")) == ()
    unknown = error_of(grpc.StatusCode.UNAVAILABLE, "failed")
    assert isinstance(unknown, errors.UnavailableError)
    assert unknown.retry_after_s is None


def test_whoever_is_over_a_limit_of_their_own_is_told_so() -> None:
    ((_, content),) = retry_metadata(QuotaExceededError("9 of 9 used", retry_after_s=60, subject="tenant:shop"))
    info, failure = RetryInfo(), QuotaFailure()
    retry, violation = Status.FromString(content).details
    assert retry.Unpack(info)
    assert violation.Unpack(failure)
    assert info.retry_delay.seconds == 60
    assert [(v.subject, v.description) for v in failure.violations] == [("tenant:shop", "9 of 9 used")]
