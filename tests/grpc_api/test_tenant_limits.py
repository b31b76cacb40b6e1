"""Limits of tenants, in a real gateway: what each may ask for, what they are told over it, and what a store's end does."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from authority import Authority
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from PIL import Image
from prometheus_client import CollectorRegistry
from redis_process import RedisServer, redis_server
from tiny_bundle import rows_of

from grpc_api.admin_client import AdminClient
from grpc_api.allowances import Allowances
from grpc_api.blocking import BlockingClient
from grpc_api.converters import encode_input
from grpc_api.dependency import Fault
from grpc_api.failing import FailMode
from grpc_api.settings import GatewaySettings
from grpc_api.statuses import DETAILS
from grpc_api.stubs import knockguard_admin_pb2 as admin_pb
from grpc_api.stubs import knockguard_inference_pb2 as pb
from grpc_api.telemetry import Metrics
from grpc_api.tenant_limits import TenantLimits
from grpc_api.tenant_metrics import TenantMetrics
from grpc_api.workers.admin import summed
from guard.errors import (
    BackendError,
    ConfigError,
    DeadlineError,
    InvalidInputError,
    NotLoadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StoreError,
)
from guard.evidence.allowance import Allowance, Standing
from guard.evidence.stores.base import Store
from guard.evidence.stores.memory import MemoryStore
from guard.evidence.stores.redis_store import Place, RedisStore

KEYS = {"shop": "key-of-the-shop", "lab": "key-of-the-lab", "free": "key-of-the-free"}
DAY_LIMITS = """
[default]
quota_rows = 6
[tenants.shop]
rows_per_s = 0.01
burst_rows = 5
quota_rows = 1000
[tenants.lab]
"""


def ask(address: str, tenant: str | None, n: int, level: float = 0.1) -> int:
    """Return how many rows are answered, or raise what the client is told."""
    key = None if tenant is None else KEYS[tenant]
    with BlockingClient(address, api_key=key, timeout_s=20) as blocking:
        return len(blocking.run(blocking.client.infer("tiny", "image", rows_of(level, n))))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text("".join(f"{tenant}:{sha256(key.encode()).hexdigest()}\n" for tenant, key in KEYS.items()))
    return path


@pytest.fixture
def limited(tmp_path: Path, keys: Path, bundle: Path, start_with: Any) -> Callable[..., Any]:
    """Start a gateway whose tenants' limits are these."""

    def begin(text: str, **settings: Any) -> Any:
        (tmp_path / "limits.toml").write_text(text)
        tenant_limits = {"file": str(tmp_path / "limits.toml"), **settings.pop("tenant_limits", {})}
        clients = {} if settings.pop("anonymous", False) else {"clients": {"api_keys_file": str(keys)}}
        return start_with(bundle, tenant_limits=tenant_limits, **clients, **settings)

    return begin


def refusal(address: str, tenant: str, rows: np.ndarray) -> tuple[grpc.StatusCode, str, list[Any]]:
    """Return the status, the sentence and the details of a call that is refused, as the wire has them."""
    request = pb.ModelInferRequest(model_name="tiny")
    encode_input(request, "image", rows)
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString(), timeout=20, metadata=(("x-api-key", KEYS[tenant]),))
    error = caught.value
    trailers = dict(error.trailing_metadata())
    details = list(Status.FromString(trailers[DETAILS]).details) if DETAILS in trailers else []
    return error.code(), error.details(), details


def test_each_tenant_has_its_own_and_is_told_what_it_is_over_and_when_to_come_back(limited: Any) -> None:
    with limited(DAY_LIMITS, policy="label-only") as served:
        assert ask(served.address, "shop", 4) == 4
        code, sentence, (retry, failure) = refusal(served.address, "shop", rows_of(0.1, 2))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert sentence.startswith("2 rows asked for and 1 to be had at 0.01 rows a second; try again in ")
        info, violations = RetryInfo(), QuotaFailure()
        assert retry.Unpack(info)
        assert failure.Unpack(violations)
        assert 80 < info.retry_delay.seconds <= 100
        assert [v.subject for v in violations.violations] == ["tenant:shop"]
        assert ask(served.address, "shop", 1) == 1  # what was refused took nothing

        assert ask(served.address, "free", 6) == 6
        code, sentence, (retry, _) = refusal(served.address, "free", rows_of(0.1, 1))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert sentence.startswith("6 rows of 6 in 24 h are used, and 1 asked for")
        assert retry.Unpack(info)
        assert 0 < info.retry_delay.seconds <= 86_400
        assert ask(served.address, "lab", 200) == 200  # an empty table: no limit

        code, sentence, details = refusal(served.address, "shop", rows_of(0.1, 8))
        assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, [])  # it need not come back
        assert sentence == "8 rows in one request, where a burst has at most 5; send several smaller requests"
        _, sentence, _ = refusal(served.address, "free", rows_of(0.1, 7))
        assert sentence == "7 rows in one request, where the quota is 6 in 24 h; send several smaller requests"
        assert served.counter("knockguard_limited_requests_total", limit="size") == 2

        assert served.counter("knockguard_limited_requests_total", tenant="shop", limit="rate") == 1
        assert served.counter("knockguard_limited_requests_total", tenant="free", limit="quota") == 1
        assert served.total("knockguard_quota_used_ratio", tenant="free") == 1
        assert served.counter("knockguard_store_failures_total", store="memory") == 0
        assert served.counter("knockguard_rows_total", tenant="shop") == 5


def test_flagged_and_unflagged_rows_count_alike(limited: Any) -> None:
    told = []
    with limited("[default]\nquota_rows = 9\n", policy="label-only") as served:
        for tenant, level in (("free", 0.95), ("lab", 0.1)):
            assert ask(served.address, tenant, 6, level) == 6
            code, sentence, details = refusal(served.address, tenant, rows_of(level, 4))
            told.append((code, sentence.partition(";")[0], [d.type_url for d in details]))
            assert served.total("knockguard_quota_used_ratio", tenant=tenant) == 6 / 9
        assert served.counter("knockguard_flagged_rows_total") == 6
    assert told[0] == told[1]


def test_files_count_a_row_each_and_what_is_refused_by_its_claims_counts_nothing(limited: Any) -> None:
    with BytesIO() as buffer:
        Image.new("RGB", (4, 4)).save(buffer, "PNG")
        png = buffer.getvalue()
    files = pb.ModelInferRequest(model_name="tiny")
    files.inputs.add(name="image", datatype="BYTES", shape=[3])
    files.raw_input_contents.append((len(png).to_bytes(4, "little") + png) * 3)
    wrong = pb.ModelInferRequest(model_name="tiny")
    encode_input(wrong, "image", np.zeros((2, 3, 5, 5), np.float32))
    with limited("[default]\nquota_rows = 6\n", anonymous=True) as served, grpc.insecure_channel(served.address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(4):
            with pytest.raises(grpc.RpcError, match="has shape"):
                call(wrong.SerializeToString(), timeout=20)
        for _ in range(2):
            call(files.SerializeToString(), timeout=20)
        with pytest.raises(QuotaExceededError):
            ask(served.address, None, 1)
        assert served.total("knockguard_quota_used_ratio", tenant="anonymous") == 1


def infer(channel: grpc.Channel, n: int, *metadata: tuple[str, str]) -> bytes:
    request = pb.ModelInferRequest(model_name="tiny")
    encode_input(request, "image", rows_of(0.1, n))
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    return call(request.SerializeToString(), timeout=20, metadata=metadata)


def test_tenant_that_a_mesh_tells_has_its_own_quota(bundle: Path, start_with: Any, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("[default]\nquota_rows = 4\n")
    clients = {"trusted_header": "x-tenant", "trusted_tenants": ["shop", "lab"]}
    limits = {"file": str(tmp_path / "limits.toml")}
    with (
        start_with(bundle, tenant_limits=limits, clients=clients) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        for tenant in clients["trusted_tenants"]:
            assert infer(channel, 4, ("x-tenant", tenant))
            with pytest.raises(grpc.RpcError, match="4 rows of 4"):
                infer(channel, 1, ("x-tenant", tenant))


@pytest.mark.server
def test_tenant_of_a_certificate_has_its_own_quota(bundle: Path, start_with: Any, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    authority = Authority(tmp_path)
    own = authority.sign("server", "IP:127.0.0.1")
    (tmp_path / "limits.toml").write_text("[default]\nquota_rows = 4\n")
    (tmp_path / "tenants").write_text("shop:shop.example\nlab:lab.example\n")
    roots = str(authority.own.certificate)
    settings = {
        "tls": {"certificate_file": str(own.certificate), "key_file": str(own.key), "client_ca_file": roots},
        "clients": {"certificates_file": str(tmp_path / "tenants")},
        "tenant_limits": {"file": str(tmp_path / "limits.toml")},
    }
    with start_with(bundle, **settings) as served:
        for tenant in ("shop", "lab"):
            pair = authority.sign(tenant, f"DNS:{tenant}.example")
            files = (Path(roots), pair.key, pair.certificate)
            credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
            with grpc.secure_channel(served.address, credentials) as channel:
                assert infer(channel, 4)
                with pytest.raises(grpc.RpcError, match="4 rows of 4"):
                    infer(channel, 1)


def test_file_is_read_again_and_a_bad_one_changes_nothing(limited: Any, tmp_path: Path) -> None:
    with limited("[default]\nquota_rows = 2\n[tenants.shp]\nquota_rows = 9\n") as served:
        assert ask(served.address, "free", 2) == 2
        with pytest.raises(QuotaExceededError):
            ask(served.address, "free", 1)
        (tmp_path / "limits.toml").write_text("[default]\nquota_rwos = 10\n")
        time.sleep(1.1)
        with pytest.raises(QuotaExceededError):
            ask(served.address, "free", 1)
        (tmp_path / "limits.toml").write_text("[default]\nquota_rows = 3\n")
        time.sleep(1.1)
        assert ask(served.address, "free", 1) == 1
        log = [json.loads(line) for line in served.log.read_text().splitlines()]
    (rejected,) = [line for line in log if line["event"] == "file_rejected"]
    assert "did you mean 'quota_rows'" in rejected["reason"]
    assert [line["tenants"] for line in log if line["event"] == "limits_of_nobody"] == [["shp"]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis", password="open-sesame-7") as server:
        (tmp_path / "password").write_text("open-sesame-7\n")
        yield server


def counted_by(redis: RedisServer, tmp_path: Path, mode: FailMode) -> dict[str, Any]:
    place = {"address": redis.address, "password_file": str(tmp_path / "password"), "timeout_s": 0.5}
    return {"store": "redis", "on_store_failure": mode.value, "redis": place}


@pytest.mark.server
def test_two_replicas_share_a_quota_through_redis(limited: Any, redis: RedisServer, tmp_path: Path) -> None:
    settings = {"tenant_limits": counted_by(redis, tmp_path, FailMode.CLOSED)}
    text = "[default]\nquota_rows = 10\n"
    with limited(text, **settings) as one, limited(text, **settings) as other:
        assert ask(one.address, "free", 6) == 6
        with pytest.raises(QuotaExceededError, match="6 rows of 10"):
            ask(other.address, "free", 5)
        assert ask(other.address, "free", 4) == 4
        logs = one.log.read_text() + other.log.read_text()
    assert "open-sesame-7" not in logs


@pytest.mark.server
@pytest.mark.parametrize("mode", FailMode)
def test_redis_that_is_killed_fails_as_told_and_counts_again_when_it_is_back(
    mode: FailMode, limited: Any, redis: RedisServer, tmp_path: Path
) -> None:
    with limited("[default]\nquota_rows = 4\n", tenant_limits=counted_by(redis, tmp_path, mode)) as served:
        assert ask(served.address, "free", 3) == 3
        redis.kill()
        for _ in range(5):
            if mode is FailMode.OPEN:
                assert ask(served.address, "free", 3) == 3
            else:
                with pytest.raises(BackendError, match="cannot be counted now") as caught:  # UNAVAILABLE
                    ask(served.address, "free", 3)
                assert caught.value.retry_after_s > 0
        assert served.counter("knockguard_store_failures_total", store="redis", mode=mode.value) >= 5
        told = {"dependency": "store", "mode": mode.value}
        assert served.total("knockguard_breaker_state", state="closed", **told) == 0
        assert served.total("knockguard_dependency_faults_total", dependency="store") >= 3
        assert redis.start()
        deadline = time.monotonic() + 30
        refused = 0
        while not refused and time.monotonic() < deadline:  # until a probe has found it
            try:
                ask(served.address, "free", 3)
            except QuotaExceededError:
                refused += 1
            except BackendError:
                time.sleep(0.1)
        assert refused
        assert served.total("knockguard_breaker_state", state="closed", **told) == 1
        log = served.log.read_text()
    assert "ConnectionError" in log
    assert "open-sesame-7" not in log


def test_operator_sees_how_tenants_stand_and_lets_one_begin_anew(limited: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    socket = str(tmp_path_factory.mktemp("s") / "s")
    with limited(DAY_LIMITS, admin={"socket": socket}) as served, AdminClient(f"unix:{socket}") as admin:
        assert ask(served.address, "free", 5) == 5
        assert ask(served.address, "shop", 2) == 2
        answer = admin.limits()
        assert (answer.store, answer.shared, answer.left_out) == ("memory", False, 0)
        free, lab, shop = answer.items
        assert [item.tenant for item in (free, lab, shop)] == ["free", "lab", "shop"]
        assert (free.used_rows, free.quota_rows, free.HasField("burst_rows")) == (5, 6, False)
        assert not lab.HasField("quota_rows")
        assert (shop.burst_rows, shop.used_rows, round(shop.bucket_rows)) == (5, 2, 3)
        assert time.time() < shop.window_end <= time.time() + 86_400
        assert admin.limits("free").items == [free]  # looking takes nothing
        assert admin.reset_limits("free").forgotten
        assert not admin.reset_limits("free").forgotten
        assert ask(served.address, "free", 6) == 6
        with pytest.raises(InvalidInputError, match="no tenant was named"):
            admin.reset_limits("")


def test_workers_that_count_each_for_itself_are_told_as_their_sum() -> None:
    def stands(used: int, bucket: float) -> admin_pb.LimitsResponse:
        answer = admin_pb.LimitsResponse(store="memory")
        answer.items.add(tenant="shop", rows_per_s=1, burst_rows=5, bucket_rows=bucket, quota_rows=10, used_rows=used)
        answer.items.add(tenant="lab", quota_rows=7, used_rows=used)
        return answer

    shop, lab = summed([stands(3, 1.5), stands(4, 5)]).items
    assert (shop.rows_per_s, shop.burst_rows, shop.bucket_rows, shop.quota_rows, shop.used_rows) == (2, 10, 6.5, 20, 7)
    assert (lab.quota_rows, lab.used_rows, lab.HasField("burst_rows")) == (14, 7, False)


@pytest.mark.server
def test_redis_that_hangs_holds_up_few_queries_and_none_for_long(limited: Any, redis: RedisServer, tmp_path: Path) -> None:
    with limited("[default]\nquota_rows = 4000\n", tenant_limits=counted_by(redis, tmp_path, FailMode.OPEN)) as served:
        assert ask(served.address, "free", 1) == 1
        redis.freeze()
        try:
            started = time.monotonic()
            for _ in range(40):
                assert ask(served.address, "free", 1) == 1
            assert time.monotonic() - started < 40 * 0.5 / 2  # each of them would have waited half a second
        finally:
            redis.thaw()


@pytest.mark.server
def test_redis_is_known_by_its_certificate_or_told_nothing(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    pair = authority.sign("redis", "IP:127.0.0.1")
    elsewhere = authority.sign("elsewhere", "IP:127.0.0.9")

    def used(address: str, known_by: Path | None) -> int:
        async def take() -> int:
            store = RedisStore(Place(address, ca_file=known_by, timeout_s=3))
            try:
                return (await store.take("shop", 1, Allowance(quota_rows=5))).used
            finally:
                await store.close()

        return asyncio.run(take())

    with redis_server(tmp_path, tls=(pair.certificate, pair.key)) as server:
        assert used(server.address, authority.own.certificate) == 1
        for known_by in (other.own.certificate, None):  # another authority's, and in the clear
            with pytest.raises(StoreError):
                used(server.address, known_by)
    with redis_server(tmp_path, tls=(elsewhere.certificate, elsewhere.key)) as server, pytest.raises(StoreError):
        used(server.address, authority.own.certificate)  # a good certificate of another host


class Away(Store):
    """Counts what it is asked, and never answers."""

    name = "away"
    shared = False
    asked = 0

    async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
        self.asked += 1
        raise StoreError("no")

    async def give_back(self, tenant: str, rows: int, allowance: Allowance, *, window_end: float) -> None:
        raise StoreError("no")

    async def forget(self, tenant: str) -> bool:
        raise StoreError("no")

    async def close(self) -> None:
        """Nothing is held."""


def limits_of(allowance: Allowance, store: Store, mode: FailMode = FailMode.OPEN) -> TenantLimits:
    allowances = Allowances(allowance, {})
    metrics = TenantMetrics(Metrics(CollectorRegistry()), store.name, mode)
    return TenantLimits(lambda: allowances, store, metrics, on_store_failure=mode)


@pytest.mark.parametrize(
    ("error", "used"),
    [
        (BackendError("away"), 0),
        (QuotaExceededError("the queue is full", retry_after_s=1), 0),
        (ZeroDivisionError(), 0),
        (NotLoadedError("draining"), 0),
        (InvalidInputError("no image"), 5),
        (PermissionDeniedError("refused"), 5),  # else a client could tell, by its quota, that a row was
        (DeadlineError("late"), 5),
        (asyncio.CancelledError(), 5),
    ],
)
def test_what_is_not_answered_by_our_own_fault_is_given_back(error: BaseException, used: int) -> None:
    async def work() -> int:
        limits = limits_of(Allowance(quota_rows=10), MemoryStore())
        with pytest.raises(type(error)):
            async with limits.taken("shop", 5):
                raise error
        return (await limits.standing("shop")).used

    assert asyncio.run(work()) == used


def test_what_is_given_back_after_the_window_is_over_is_not_of_the_next() -> None:
    now = 1_700_000_000.0

    async def work() -> int:
        nonlocal now
        limits = limits_of(Allowance(quota_rows=10), MemoryStore(clock=lambda: now))
        with suppress(BackendError):
            async with limits.taken("shop", 5):
                now += 86_400
                async with limits.taken("shop", 3):
                    pass
                raise BackendError("away")
        return (await limits.standing("shop")).used

    assert asyncio.run(work()) == 3


@pytest.mark.server
def test_fault_of_redis_is_told_by_its_kind(redis: RedisServer, tmp_path: Path) -> None:
    async def work() -> dict[Fault, int]:
        store = RedisStore(Place(redis.address, password_file=tmp_path / "password", timeout_s=0.2))
        limits = limits_of(Allowance(quota_rows=10), store)
        for spoil in (redis.freeze, redis.kill):
            async with limits.taken("shop", 1):
                spoil()
        async with limits.taken("shop", 1):
            pass
        await store.close()
        return dict(limits.health.faults)

    assert asyncio.run(work()) == {Fault.TIMEOUT: 1, Fault.ERROR: 1}


def test_answer_of_a_store_that_is_none_is_garbage() -> None:
    class Babbling(Away):
        async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
            raise StoreError("no") from ValueError("could not convert string to float")

    async def work() -> dict[Fault, int]:
        limits = limits_of(Allowance(quota_rows=10), Babbling())
        async with limits.taken("shop", 5):
            return dict(limits.health.faults)

    assert asyncio.run(work()) == {Fault.GARBAGE: 1}


def test_store_that_is_away_is_left_alone_for_a_while() -> None:
    async def work() -> int:
        store = Away()
        limits = limits_of(Allowance(quota_rows=10), store)
        for _ in range(20):
            async with limits.taken("shop", 5):
                pass
        return store.asked

    assert asyncio.run(work()) == 3


def test_what_was_not_counted_is_not_given_back() -> None:
    class Flickering(MemoryStore):
        away = False

        async def take(self, tenant: str, rows: int, allowance: Allowance) -> Standing:
            if self.away:
                raise StoreError("no")
            return await super().take(tenant, rows, allowance)

    async def work() -> int:
        store = Flickering()
        limits = limits_of(Allowance(quota_rows=10), store)
        async with limits.taken("shop", 6):
            pass
        store.away = True
        with suppress(BackendError):
            async with limits.taken("shop", 4):
                store.away = False
                raise BackendError("no model")
        return (await limits.standing("shop")).used

    assert asyncio.run(work()) == 6


def test_share_of_a_quota_that_is_used_ends_with_its_window() -> None:
    registry = CollectorRegistry()
    metrics = TenantMetrics(Metrics(registry), "memory", FailMode.OPEN)
    for window_end, expected in ((time.time() + 60, 0.5), (time.time() - 1, 0.0)):
        metrics.asked("shop", 0.5, window_end)
        assert registry.get_sample_value("knockguard_quota_used_ratio", {"tenant": "shop"}) == expected


def test_nothing_is_asked_of_the_store_for_no_rows_or_for_a_tenant_without_limits() -> None:
    async def work() -> None:
        for allowance, rows in ((Allowance(quota_rows=10), 0), (Allowance(), 5)):
            async with limits_of(allowance, Away(), FailMode.CLOSED).taken("shop", rows):
                pass

    asyncio.run(work())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[default]\nrows_per_s = 5\n", "rows_per_s and burst_rows go together"),
        ("[default]\nburst_rows = 5\n", "rows_per_s and burst_rows go together"),
        ("[default]\nwindow_hours = 5\n", "window_hours is the quota's"),
        ("[default]\nquota_rows = 0\n", "default.quota_rows: .*greater than or equal to 1"),
        ("[default]\nrows_per_s = inf\nburst_rows = 1\n", "default.rows_per_s"),
        ("[defaults]\nquota_rows = 1\n", "did you mean 'default'"),
        ('[tenants."a b"]\nquota_rows = 1\n', "tenants.a b"),
        ("[tenants.shop]\nquota = 1\n", "there is no such key; did you mean '.*quota_rows'"),
        ("rows_per_s = \n", "is no TOML"),
    ],
)
def test_mistake_in_the_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(ConfigError, match=f"limits.toml.*{sentence}"):
        Allowances.read(tmp_path / "limits.toml")


def test_tenant_with_a_table_of_its_own_goes_by_that_alone(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(DAY_LIMITS)
    allowances = Allowances.read(tmp_path / "limits.toml")
    assert allowances.of("shop") == Allowance(0.01, 5, 1000)
    assert allowances.of("lab").bounds_nothing
    assert allowances.of("anybody") == Allowance(quota_rows=6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"store": "redis"}, "there are none; give their file"),
        ({"file": "f", "store": "redis"}, "redis.address go together"),
        ({"file": "f", "redis": {"address": "h:1"}}, "redis.address go together"),
        ({"file": "f", "store": "rediss"}, "did you mean 'redis'"),
        ({"file": "f", "store": "redis", "redis": {"address": "redis://h:1"}}, "tenant_limits.redis.address"),
        ({"file": "f", "store": "redis", "redis": {"address": "h:1", "user": "u"}}, "give password_file"),
        ({"file": "f", "on_store_failure": "open"}, "'fail-open' or 'fail-closed'"),
    ],
)
def test_mistake_in_the_settings_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        GatewaySettings.of({"bundles": ["b"], "tenant_limits": given})
