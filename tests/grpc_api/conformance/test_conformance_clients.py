"""Every client is led through the same claims; what it cannot ask is known, and everything else holds."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import peers
import pytest
from authority import Authority
from claims import CLAIMS, outcomes
from led import CLIENTS, PEERS, TLS_CLIENTS, led_elsewhere
from peers import python_of
from plain_host import PlainHost, plain_host
from tiny_bundle import tiny_manifest, tiny_model

from guard.bundle import Bundle

RAW_ALONE = {"it sends raw contents alone"}
# Why a client has no way to ask some of it.
CANNOT = {
    "GuardClient": {
        "it sends FP32 and UINT8, raw", "it sends images and nothing else",
        "it has no such call", "it asks for the newest version",
    },
    "tritonclient": RAW_ALONE,
    "tritonclient.aio": RAW_ALONE,
    **dict.fromkeys(TLS_CLIENTS, RAW_ALONE),
    "MLServer's converters and stubs": {"it has no such type"},
    "KServe's InferenceGRPCClient": {"it has no such type", "it has no such call", "it asks for the newest version"},
}  # fmt: skip
PAGE = Path(__file__).parents[3] / "docs/generated/conformance.md"


def check(name: str, found: dict[str, str]) -> None:
    assert set(found) == set(CLAIMS)
    assert {claim: outcome for claim, outcome in found.items() if outcome.startswith("failed")} == {}
    reasons = {outcome.removeprefix("cannot: ") for outcome in found.values() if outcome != "held"}
    assert reasons == CANNOT.get(name, set())


@pytest.mark.parametrize("name", CLIENTS)
def test_client_finds_what_the_protocol_says(name: str, gateway: Any) -> None:
    with CLIENTS[name](gateway.address) as client:
        check(name, outcomes(client))


def test_proxy_speaks_as_the_embedded_gateway_does(bundle: Path, start: Any) -> None:
    with (
        plain_host(PlainHost(tiny_model())) as upstream,
        start(bundle, "--policy", "label-only", "--upstream", upstream) as served,
        CLIENTS["generated stubs"](served.address) as client,
    ):
        check("generated stubs", outcomes(client))


SERVERS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "mlserver": lambda folder: peers.mlserver(Bundle(tiny_manifest(model=tiny_model()), tiny_model()), folder),
    "kserve": lambda folder: peers.kserve(tiny_model(), folder),
    "triton": lambda folder: peers.triton(tiny_model(), folder),
}


@pytest.mark.peer
@pytest.mark.parametrize("server", SERVERS)
def test_gateway_before_a_real_server_speaks_as_the_embedded_one_does(
    server: str, bundle: Path, start_with: Any, tmp_path: Path
) -> None:
    with (
        SERVERS[server](tmp_path) as upstream,
        start_with(bundle, policy="label-only", upstream={"address": upstream, "max_rows": 32}) as served,
        CLIENTS["generated stubs"](served.address) as client,
    ):
        check("generated stubs", outcomes(client))


def test_several_workers_speak_as_one_does(bundle: Path, start: Any) -> None:
    with (
        start(bundle, "--policy", "label-only", "--workers", "2") as served,
        CLIENTS["generated stubs"](served.address) as client,
    ):
        check("generated stubs", outcomes(client))


@pytest.mark.server
def test_client_with_tls_and_keep_alive_finds_what_the_protocol_says(bundle: Path, start_with: Any, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    authority = Authority(tmp_path)
    server = authority.sign("server", "IP:127.0.0.1")
    tls = {"certificate_file": str(server.certificate), "key_file": str(server.key)}
    with start_with(bundle, policy="label-only", tls=tls) as served:
        for name, opened in TLS_CLIENTS.items():
            with opened(served.address, authority.own.certificate) as client:
                check(name, outcomes(client))


@pytest.mark.peer
@pytest.mark.parametrize("name", PEERS)
def test_client_of_another_server_finds_what_the_protocol_says(name: str, gateway: Any) -> None:
    kind, variable = PEERS[name]
    check(name, led_elsewhere(python_of(variable, kind), kind, gateway.address))


def test_page_of_counts_has_every_claim() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [claim for claim in CLAIMS if f"| {claim} |" not in page] == []
