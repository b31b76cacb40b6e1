"""A gateway tells nobody of the models that it loads."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tiny_bundle import rows_of, write_tiny
from tritonclient.grpc import InferenceServerClient, InferInput


def test_onnx_runtime_keeps_no_record_of_models_for_its_makers(tmp_path: Path) -> None:
    bundle, ready, home = write_tiny(tmp_path / "bundle"), tmp_path / "ready.json", tmp_path / "home"
    home.mkdir()
    # Nothing that would silence it by itself: not our own tests' setting, and not a CI's.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    command = [sys.executable, "-m", "knockguard", "serve", str(bundle), "--port", "0", "--metrics-port", "0"]
    process = subprocess.Popen([*command, "--ready-file", str(ready)], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with InferenceServerClient(f"127.0.0.1:{json.loads(ready.read_text())['port']}") as client:
            query = InferInput("image", [1, 3, 4, 4], "FP32")
            query.set_data_from_numpy(rows_of(0.1))
            client.infer("tiny", [query])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert [path for path in home.rglob("*") if path.is_file()] == []
