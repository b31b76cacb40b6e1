"""The ready file: ours alone, whole or not there."""

import json
from pathlib import Path

import pytest

from grpc_api.listening import ReadyFile
from guard.errors import ConfigError


def test_ports_are_told_and_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    ready = ReadyFile(path)
    assert not path.exists()
    ready.write(port=1, metrics_port=2)
    assert json.loads(path.read_text()) == {"port": 1, "metrics_port": 2}
    assert list(tmp_path.iterdir()) == [path]
    ready.remove()
    ready.remove()
    assert not path.exists()


def test_what_an_earlier_gateway_left_is_replaced(tmp_path: Path) -> None:
    ReadyFile(tmp_path / "ready").write(port=1, metrics_port=2)
    ReadyFile(tmp_path / "ready")
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize(
    "content", [b"", b"my thesis", b"[]", b'{"port": 1}', b'{"port": 1, "metrics_port": 2, "more": 3}', b"\xff"]
)
def test_file_of_somebody_else_is_refused_and_stays(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"thesis\.txt exists and no gateway wrote it"):
        ReadyFile(path)
    assert path.read_bytes() == content


def test_place_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "ready"):
        with pytest.raises(ConfigError, match="cannot write --ready-file"):
            ReadyFile(path)
