"""TLS as clients meet it: certificates that are rotated, and clients who are known by theirs."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from authority import Authority, Pair
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tiny_bundle import rows_of
from tritonclient.utils import InferenceServerException

from grpc_api.blocking import BlockingClient
from grpc_api.client import GuardClient
from grpc_api.settings import TlsSettings
from grpc_api.tls import server_credentials
from guard.errors import ConfigError

pytestmark = pytest.mark.server
SHOP = "spiffe://shop.example/app"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    return Authority(tmp_path)


def query() -> triton.InferInput:
    item = triton.InferInput("image", [1, 3, 4, 4], "FP32")
    item.set_data_from_numpy(rows_of(0.1))
    return item


def options(authority: Authority, client: Pair | None = None) -> dict[str, Any]:
    """What tritonclient is told of TLS."""
    own = {} if client is None else {"private_key": str(client.key), "certificate_chain": str(client.certificate)}
    return {"ssl": True, "root_certificates": str(authority.own.certificate), **own}


def ask(address: str, **kwargs: Any) -> np.ndarray:
    with triton.InferenceServerClient(address, **kwargs) as client:
        return client.infer("tiny", [query()], client_timeout=10).as_numpy("probabilities")


def served_certificate(address: str) -> str:
    import ssl

    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port)))


def test_tritonclient_speaks_tls_in_both_its_ways_with_keep_alive(bundle: Path, start_with: Any, authority: Authority) -> None:
    server = authority.sign("server", "IP:127.0.0.1", "DNS:localhost")
    tls = {"certificate_file": str(server.certificate), "key_file": str(server.key)}
    keepalive = {"keepalive_options": triton.KeepAliveOptions(5000, 2000, True, 0)}

    async def with_aio(address: str) -> np.ndarray:
        async with triton_aio.InferenceServerClient(address, **options(authority), **keepalive) as client:
            assert await client.is_server_ready()
            return (await client.infer("tiny", [query()])).as_numpy("probabilities")

    async def with_ours(address: str) -> np.ndarray:
        roots = grpc.ssl_channel_credentials(authority.own.certificate.read_bytes())
        async with GuardClient(address, credentials=roots) as client:
            return await client.infer("tiny", "image", rows_of(0.1))

    def without_asyncio(address: str) -> np.ndarray:
        roots = grpc.ssl_channel_credentials(authority.own.certificate.read_bytes())
        with BlockingClient(address, credentials=roots) as blocking:
            return blocking.run(blocking.client.infer("tiny", "image", rows_of(0.1)))

    with start_with(bundle, tls=tls) as served:
        answer = ask(served.address, **options(authority), **keepalive)
        np.testing.assert_array_equal(asyncio.run(with_aio(served.address)), answer)
        np.testing.assert_array_equal(asyncio.run(with_ours(served.address)), answer)
        np.testing.assert_array_equal(without_asyncio(served.address), answer)
        with pytest.raises(InferenceServerException) as caught:
            ask(served.address)  # without TLS
        assert caught.value.status() == "StatusCode.UNAVAILABLE"


def test_certificate_is_rotated_without_a_restart_and_a_bad_one_is_not_taken(
    bundle: Path, start_with: Any, authority: Authority
) -> None:
    server = authority.sign("server", "IP:127.0.0.1")
    tls = {"certificate_file": str(server.certificate), "key_file": str(server.key)}
    with start_with(bundle, tls=tls) as served:
        first = served_certificate(served.address)
        server.key.write_bytes(b"not a key")
        time.sleep(1.1)
        assert served_certificate(served.address) == first
        authority.sign("server", "IP:127.0.0.1")
        deadline = time.monotonic() + 10
        while served_certificate(served.address) == first and time.monotonic() < deadline:
            time.sleep(0.2)
        assert served_certificate(served.address) == server.certificate.read_text()
        assert len(ask(served.address, **options(authority))) == 1
        served.end()
        assert "file_rejected" in served.log.read_text()
        assert "PRIVATE KEY" not in served.log.read_text()


def test_client_is_known_by_the_names_in_its_certificate(
    bundle: Path, start_with: Any, authority: Authority, tmp_path: Path
) -> None:
    server, shop = authority.sign("server", "IP:127.0.0.1"), authority.sign("shop", f"URI:{SHOP}")
    stranger = authority.sign("stranger", "URI:spiffe://other.example/app")
    (tmp_path / "elsewhere").mkdir()
    forged = Authority(tmp_path / "elsewhere", "forger").sign("shop", f"URI:{SHOP}")
    (tmp_path / "tenants").write_text(f"shop:{SHOP}\n")
    tls = {
        "certificate_file": str(server.certificate),
        "key_file": str(server.key),
        "client_ca_file": str(authority.own.certificate),
    }
    with start_with(bundle, host="0.0.0.0", tls=tls, clients={"certificates_file": str(tmp_path / "tenants")}) as served:
        assert len(ask(served.address, **options(authority, shop))) == 1
        assert served.total("knockguard_requests_total", tenant="shop") == 1
        for client, status in ((stranger, "UNAUTHENTICATED"), (forged, "UNAVAILABLE"), (None, "UNAVAILABLE")):
            with pytest.raises(InferenceServerException) as caught:
                ask(served.address, **options(authority, client))
            assert caught.value.status() == f"StatusCode.{status}"
        for client, good in ((shop, True), (stranger, False)):
            credentials = grpc.ssl_channel_credentials(
                authority.own.certificate.read_bytes(), client.key.read_bytes(), client.certificate.read_bytes()
            )
            with grpc.secure_channel(served.address, credentials) as channel:
                health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
                assert health.status == health_pb2.HealthCheckResponse.SERVING
                services = ProtoReflectionDescriptorDatabase(channel).get_services
                if good:
                    assert "inference.GRPCInferenceService" in services()
                else:
                    with pytest.raises(grpc.RpcError) as refused:
                        services()
                    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_pair_that_cannot_be_used_is_refused_with_the_file(authority: Authority, tmp_path: Path) -> None:
    one, other = authority.sign("one", "DNS:a"), authority.sign("other", "DNS:b")
    open_key = tmp_path / "open.key"
    open_key.write_bytes(one.key.read_bytes())
    open_key.chmod(0o644)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    for certificate, key, authority_file, sentence in (
        (one.certificate, other.key, None, "no pair that can be used"),
        (tmp_path / "text", one.key, None, "no pair that can be used"),
        (one.certificate, tmp_path / "text", None, "no pair that can be used"),
        (one.certificate, tmp_path / "none", None, "cannot read the private key"),
        (one.certificate, open_key, None, "open to other users"),
        (one.certificate, one.key, tmp_path / "text", "is not the clients' authority"),
    ):
        settings = TlsSettings(certificate_file=certificate, key_file=key, client_ca_file=authority_file)
        with pytest.raises(ConfigError, match=sentence):
            server_credentials(settings)
    assert server_credentials(TlsSettings()) is None
