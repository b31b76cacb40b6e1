"""Secrets: only the owner reads them, and nobody prints them."""

from pathlib import Path

import pytest

from guard.errors import ConfigError
from guard.secret import Secret, write_secret


def test_written_secret_reads_back_with_its_id_and_never_prints(tmp_path: Path) -> None:
    secret = write_secret(tmp_path / "secret")
    assert Secret.read(tmp_path / "secret") == secret
    assert len(secret.id) == 8
    assert secret.key.hex() not in repr(secret)
    assert repr(secret.key) not in repr(secret)


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    write_secret(tmp_path / "secret")
    with pytest.raises(ConfigError, match="exists"):
        write_secret(tmp_path / "secret")


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"x" * 31, 0o600, "31 bytes"),
        (b"x" * 5000, 0o600, "5000 bytes"),
        (b"x" * 32, 0o644, "mode 644"),
        (b"abc" * 20, 0o600, "repeats"),
    ],
)
def test_unsafe_files_are_refused(tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=message) as caught:
        Secret.read(path)
    assert content.decode() not in str(caught.value)


def test_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="knockguard secret"):
        Secret.read(tmp_path / "none")
