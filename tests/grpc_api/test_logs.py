"""Logs: every line is one event, whoever said it."""

import json
import subprocess
import sys

import pytest

SAID = """import asyncio, logging, sys
import structlog
from grpc_api.logs import configure_logs

configure_logs(sys.argv[1])
structlog.get_logger().info("bundle_loaded", model="tiny")
logging.getLogger("grpc").warning("a library's %s", "sentence")
logging.getLogger("grpc").info("not this")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("of a library")
"""


def said(form: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SAID, form], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_json_what_libraries_say_included() -> None:
    events = [json.loads(line) for line in said("json")]
    assert [(e["event"], e["level"]) for e in events] == [
        ("bundle_loaded", "info"), ("library_said", "warning"), ("library_said", "error"),
    ]  # fmt: skip
    assert events[1]["message"] == "a library's sentence"
    assert events[1]["library"] == "grpc"
    assert "ZeroDivisionError" in events[2]["exception"]
    assert all("timestamp" in e for e in events)


@pytest.mark.parametrize("word", ["bundle_loaded", "model=tiny", "a library's sentence"])
def test_text_holds_the_same_for_people(word: str) -> None:
    assert word in "\n".join(said("text"))
