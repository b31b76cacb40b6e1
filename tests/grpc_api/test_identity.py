"""Who asks: the key's tenant and nobody else, from a file whose mistakes are named by line."""

import time
from hashlib import sha256
from pathlib import Path

import pytest

from grpc_api.identity import ANONYMOUS, Anonymous, ApiKeys, Caller, Certificates, TrustedHeader
from grpc_api.identity.opening import open_identity
from grpc_api.settings import GatewaySettings
from grpc_api.watched import Watched
from guard.errors import ConfigError, UnauthenticatedError

KEYS = ApiKeys.of({sha256(b"one").hexdigest(): "shop", sha256(b"two").hexdigest(): "shop", sha256(b"three").hexdigest(): "lab"})


@pytest.mark.parametrize(
    ("metadata", "tenant"),
    [
        ([("x-api-key", "one")], "shop"),
        ([("user-agent", "lab"), ("x-api-key", "two")], "shop"),
        ([("authorization", "Bearer three")], "lab"),
        ([("authorization", "bearer  three ")], "lab"),
        ([("x-api-key", b"three")], "lab"),
    ],
)
def test_good_key_is_its_tenant(metadata: list[tuple[str, str | bytes]], tenant: str) -> None:
    assert KEYS.caller(metadata) == Caller(tenant)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("x-api-key", "")],
        [("x-api-key", "four")],
        [("authorization", "Basic one")],
        [("authorization", "Bearer")],
        [("tenant", "shop"), ("x-tenant", "shop")],
        [("x-api-key", sha256(b"one").hexdigest())],  # a stolen file of hashes opens nothing
    ],
)
def test_anything_else_is_refused(metadata: list[tuple[str, str]]) -> None:
    with pytest.raises(UnauthenticatedError, match="API key"):
        KEYS.caller(metadata)


def test_tenants_are_a_closed_set() -> None:
    assert KEYS.tenants == ["lab", "shop"]
    assert Anonymous().caller([("x-api-key", "one")]) == Caller(ANONYMOUS)


HASH = sha256(b"one").hexdigest()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"shop:{HASH}\nlab {HASH}\n", "line 2 is not TENANT:SHA256"),
        (f"shop:{HASH.upper()}\n", "line 1 is not TENANT:SHA256"),
        (f"# two\n\nshop:{HASH}\nlab:{HASH}\n", "line 4 repeats a credential of 'shop'"),
        ("# nobody yet\n", "names nobody"),
        ("", "names nobody"),
    ],
)
def test_mistake_in_the_file_is_named_by_line_and_no_hash_is_shown(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        ApiKeys.read(path)
    assert HASH not in str(caught.value).lower()


def test_what_is_no_text_or_is_endless_is_no_list_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    for content in (b"\xff\xfe\x00", b"#" * (2 << 20)):
        path.write_bytes(content)
        with pytest.raises(ConfigError):
            ApiKeys.read(path)


SHOP, LAB = "spiffe://shop.example/app", "lab.example"
CERTIFICATES = Certificates(lambda: {SHOP: "shop", "shop.example": "shop", LAB: "lab"})


@pytest.mark.parametrize(("names", "tenant"), [([SHOP], "shop"), (["other", SHOP, "shop.example"], "shop"), ([LAB], "lab")])
def test_certificate_is_the_tenant_of_its_names(names: list[str], tenant: str) -> None:
    assert CERTIFICATES.caller((), names) == Caller(tenant)


@pytest.mark.parametrize("names", [[], ["spiffe://shop.example/"], ["shop"], [SHOP, LAB]])
def test_certificate_without_one_known_tenant_is_nobodys(names: list[str]) -> None:
    with pytest.raises(UnauthenticatedError, match="certificate"):
        CERTIFICATES.caller([("x-api-key", "one"), ("x-tenant", "shop")], names)


HEADER = TrustedHeader("x-tenant", ["shop", "lab"])


def test_header_is_read_once_and_from_a_closed_set() -> None:
    assert HEADER.caller([("x-tenant", "lab")]) == Caller("lab")
    assert HEADER.tenants == ["lab", "shop"]
    for metadata in ([], [("x-tenant", "bank")], [("x-tenant", "shop"), ("x-tenant", "lab")], [("x-tenant", b"shop")]):
        with pytest.raises(UnauthenticatedError):
            HEADER.caller(metadata)


def settings(**given: object) -> GatewaySettings:
    return GatewaySettings.of({"bundles": ["b"], **given})


TLS = {"certificate_file": "c", "key_file": "k"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"host": "0.0.0.0"}, "anybody who reaches 0.0.0.0 could ask"),
        ({"clients": {"anonymous": True, "api_keys_file": "k"}}, "--api-keys FILE and --anonymous contradict"),
        ({"clients": {"certificates_file": "c"}}, "needs tls.client_ca_file"),
        ({"clients": {"certificates_file": "c"}, "tls": TLS}, "needs tls.client_ca_file"),
        (
            {"host": "0.0.0.0", "clients": {"trusted_header": "x-tenant", "trusted_tenants": ["a"]}},
            "whoever reaches the port could write it",
        ),
    ],
)
def test_what_would_let_in_whom_nobody_meant_is_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        open_identity(settings(**given))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"clients": {"trusted_header": "x-tenant"}}, "belong together"),
        ({"clients": {"trusted_header": "X Tenant", "trusted_tenants": ["a"]}}, "trusted_header"),
        ({"clients": {"trusted_tenants": ["a"]}}, "belong together"),
        ({"tls": {"certificate_file": "c"}}, "certificate_file and key_file together"),
        ({"tls": {"client_ca_file": "c"}}, "client_ca_file only beside them"),
    ],
)
def test_half_of_a_setting_is_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        settings(**given)


def test_mesh_in_front_is_believed_where_only_it_connects() -> None:
    header = {"trusted_header": "x-tenant", "trusted_tenants": ["shop"]}
    verified = {**TLS, "client_ca_file": "a"}
    for given in ({}, {"host": "0.0.0.0", "tls": verified}):
        assert isinstance(open_identity(settings(clients=header, **given)), TrustedHeader)


def test_nobody_is_believed_by_a_header_unless_it_is_said() -> None:
    assert isinstance(open_identity(settings()), Anonymous)
    assert open_identity(settings()).caller([("x-tenant", "shop")]) == Caller(ANONYMOUS)


def test_key_that_is_added_opens_and_one_that_is_taken_away_does_not(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"shop:{sha256(b'old').hexdigest()}\n")
    watched = Watched((path,), lambda: dict(reversed(line.split(":")) for line in path.read_text().split()), every_s=0)
    keys = ApiKeys(lambda: watched.value)
    assert keys.caller([("x-api-key", "old")]) == Caller("shop")
    path.write_text(f"shop:{sha256(b'new').hexdigest()}\nlab:{sha256(b'labs').hexdigest()}\n")
    assert keys.caller([("x-api-key", "new")]) == Caller("shop")
    assert keys.tenants == ["lab", "shop"]
    with pytest.raises(UnauthenticatedError, match="not known"):
        keys.caller([("x-api-key", "old")])


@pytest.mark.parametrize("left", ["", "# nobody for now\n"])
def test_last_key_that_is_taken_away_opens_nothing_more(tmp_path: Path, left: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"shop:{HASH}\n")
    keys = ApiKeys.read(path)
    assert keys.caller([("x-api-key", "one")]) == Caller("shop")
    path.write_text(left)
    time.sleep(1.1)  # it is looked at once a second
    with pytest.raises(UnauthenticatedError, match="not known"):
        keys.caller([("x-api-key", "one")])
    assert keys.tenants == []


def test_file_of_keys_that_is_gone_or_wrong_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"shop:{HASH}\n")
    keys = ApiKeys.read(path)
    for change in (path.unlink, lambda: path.write_text("shop\n")):
        change()
        time.sleep(1.1)
        assert keys.caller([("x-api-key", "one")]) == Caller("shop")
