"""Who asks: the key's tenant and nobody else, from a file whose mistakes are named by line."""

from hashlib import sha256
from pathlib import Path

import pytest

from grpc_api.identity import ANONYMOUS, Anonymous, ApiKeys, Caller
from guard.errors import ConfigError, UnauthenticatedError

KEYS = ApiKeys({sha256(b"one").hexdigest(): "shop", sha256(b"two").hexdigest(): "shop", sha256(b"three").hexdigest(): "lab"})


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
    assert KEYS.tenants == ("lab", "shop")
    assert Anonymous().caller([("x-api-key", "one")]) == Caller(ANONYMOUS)


HASH = sha256(b"one").hexdigest()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"shop:{HASH}\nlab {HASH}\n", "line 2 is not TENANT:SHA256"),
        (f"shop:{HASH.upper()}\n", "line 1 is not TENANT:SHA256"),
        (f"# two\n\nshop:{HASH}\nlab:{HASH}\n", "line 4 repeats a key of 'shop'"),
        ("# nobody yet\n", "holds no API key"),
        ("", "holds no API key"),
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
