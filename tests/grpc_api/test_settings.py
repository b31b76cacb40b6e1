"""Settings: safe by default, and each mistake named."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from grpc_api.listening import is_loopback
from grpc_api.settings import GatewaySettings
from guard.errors import ConfigError


def test_defaults_are_reached_from_this_machine_alone_and_bounded() -> None:
    settings = GatewaySettings.of({"bundles": [Path("bundle")]})
    assert is_loopback(settings.host)
    assert is_loopback(settings.metrics_host)
    assert settings.policy is None
    assert settings.limits.max_request_rows <= settings.limits.max_queue_rows


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prot": 1}, "prot: there is no such key; did you mean 'port'"),
        ({"port": 70_000}, "port: .*65535.*70000"),
        ({"provider": "gpu"}, "provider: .*'auto', 'cuda' or 'cpu'"),
        ({"limits": {"max_queue_rows": 10}}, "max_request_rows 256 is over max_queue_rows 10"),
        ({"failing": {"detector": "fail-open"}}, "failing.detector is of an upstream .* give upstream.address"),
        ({"upstream.address": "a:1", "failing": {"detector": "open"}}, "failing.detector: .*'fail-open' or 'fail-closed'"),
        ({"upstream.address": "a:1", "failing": {"probe_s": 9}}, "probe_s 9 is over max_probe_s 5; lower it"),
    ],
)
def test_mistake_is_named(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        GatewaySettings.of({"bundles": [Path("bundle")], **given})


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def test_file_is_read_and_flags_come_before_it(tmp_path: Path) -> None:
    file = written(tmp_path, 'bundles = ["b"]\nport = 1\n[limits]\nmax_calls = 7\nmax_streams = 8\n')
    settings = GatewaySettings.of({"port": 2, "limits.max_streams": 9}, file=file)
    assert (settings.port, settings.limits.max_calls, settings.limits.max_streams) == (2, 7, 9)


def test_paths_of_a_file_are_beside_it_and_those_of_flags_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = written(tmp_path, 'bundles = ["b", "/c"]\n[clients]\napi_keys_file = "keys"\n')
    settings = GatewaySettings.of({"secret_file": Path("secret")}, file=file)
    assert settings.bundles == (tmp_path / "b", Path("/c"))
    assert settings.clients.api_keys_file == tmp_path / "keys"
    assert settings.secret_file == tmp_path / "elsewhere" / "secret"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[limits]\nmax_cals = 1\n", "limits.max_cals: there is no such key; did you mean 'max_calls'"),
        ("max_calls = 1\n", "max_calls: there is no such key; did you mean 'limits.max_calls'"),
        ("[limit]\nmax_calls = 1\n", "limit: there is no such key; did you mean 'limits'"),
        ("[limits]\nmax_calls = 0\n", "limits.max_calls: .*greater than or equal to 1.*'0'"),
        ("limits = 3\n", "limits: .*valid dictionary"),
        ("port = \n", "is no TOML"),
        ('policy = "shuffle"\nrules_file = "r"\n', "rules_file stands in place of policy"),
        ("port = 1\n", "bundles: it must be given"),
    ],
)
def test_mistake_in_a_file_is_named_with_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    given = {} if "it must be given" in sentence else {"bundles": ["b"]}
    with pytest.raises(ConfigError, match=f"gateway.toml.*{sentence}"):
        GatewaySettings.of(given, file=written(tmp_path, text))


def test_what_is_no_file_of_settings_is_refused(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"#" * (2 << 20)):
        (tmp_path / "gateway.toml").write_bytes(content)
        with pytest.raises(ConfigError):
            GatewaySettings.of({}, file=tmp_path / "gateway.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        GatewaySettings.of({}, file=tmp_path / "none")


def test_every_setting_says_what_it_means() -> None:
    def silent(model: type[BaseModel]) -> list[str]:
        names = []
        for name, item in model.model_fields.items():
            if isinstance(item.annotation, type) and issubclass(item.annotation, BaseModel):
                names += silent(item.annotation)
            elif not item.description:
                names.append(name)
        return names

    assert silent(GatewaySettings) == []


HOSTS = {"127.0.0.1": True, "::1": True, "localhost": True, "0.0.0.0": False, "gateway.example": False}


@pytest.mark.parametrize(("host", "is_one"), HOSTS.items())
def test_loopback_is_told_from_the_rest(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
