"""A gateway tells nobody of the models that it loads."""

import os
from pathlib import Path

from tiny_bundle import rows_of, write_tiny
from tritonclient.grpc import InferenceServerClient, InferInput

from knockguard.gateway_process import gateway


def test_onnx_runtime_keeps_no_record_of_models_for_its_makers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # Nothing that would silence it by itself: not our own tests' setting, and not a CI's.
    environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ} | {"HOME": str(home)}
    with gateway(write_tiny(tmp_path / "bundle"), log=tmp_path / "log", environment=environment) as served:
        with InferenceServerClient(served.address) as client:
            query = InferInput("image", [1, 3, 4, 4], "FP32")
            query.set_data_from_numpy(rows_of(0.1))
            client.infer("tiny", [query])
        assert served.end() == 0
    assert [path for path in home.rglob("*") if path.is_file()] == []
