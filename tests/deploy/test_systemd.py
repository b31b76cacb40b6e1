"""The unit: systemd takes it, exposes little, and starts what exists."""

import configparser
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import typer.main

from knockguard.cli import app
from knockguard.exits import INPUT_REFUSED, USAGE

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNIT = FOLDER / "knockguard.service"
MAX_EXPOSURE = 1.5  # of 10; systemd calls up to 2 "OK"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unit as if knockguard were installed where it says, which systemd looks for."""
    path = tmp_path_factory.mktemp("units") / UNIT.name
    program = f"{sysconfig.get_path('scripts')}/knockguard"
    path.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/knockguard/bin/knockguard", program))
    return path


def analyze(*arguments: str) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on the PATH; Debian's package systemd has it")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(re.sub(r"\\\n\s*", "", UNIT.read_text(encoding="utf-8")))
    return parser["Service"]


def test_systemd_takes_the_unit_without_a_warning(installed: Path) -> None:
    said = analyze("verify", "--man=no", str(installed))
    assert [line for line in said.splitlines() if "knockguard" in line] == []


def test_unit_is_exposed_to_little(installed: Path) -> None:
    said = analyze("security", "--offline=true", f"--threshold={int(MAX_EXPOSURE * 10)}", str(installed))
    exposure = re.search(r"exposure level for knockguard.service: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= MAX_EXPOSURE


def test_command_is_serve_with_options_that_exist() -> None:
    _, command, bundle, *words = shlex.split(service()["ExecStart"])
    assert (command, bundle) == ("serve", "/etc/knockguard/bundle")
    known = {option for p in typer.main.get_command(app).commands["serve"].params for option in p.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_socket_lies_in_the_folder_that_systemd_makes_for_the_user_alone() -> None:
    words = shlex.split(service()["ExecStart"])
    socket = Path(words[words.index("--admin-socket") + 1])
    assert socket.parent == Path("/run") / service()["RuntimeDirectory"]
    assert service()["RuntimeDirectoryMode"] == service()["LogsDirectoryMode"] == "0700"
    assert service()["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_what_starting_again_cannot_mend_is_not_started_again() -> None:
    assert {int(code) for code in service()["RestartPreventExitStatus"].split()} == {USAGE, INPUT_REFUSED}


def test_stopping_takes_longer_than_the_drain() -> None:
    from grpc_api.settings import GatewaySettings

    assert float(service()["TimeoutStopSec"]) > GatewaySettings.model_fields["drain_s"].default


def test_user_of_the_unit_is_the_one_that_is_made() -> None:
    made = re.findall(r"^u (\S+) ", (FOLDER / "knockguard.sysusers").read_text(encoding="utf-8"), re.MULTILINE)
    assert made == [service()["User"]]
