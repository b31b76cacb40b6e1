"""A small manifest that guard tests share."""

import pytest

from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Provenance
from guard.calibration import Threshold


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        format_version=1,
        name="shapes",
        version="1",
        model="model.onnx",
        sha256="0" * 64,
        input=InputSpec(name="image", shape=(3, 8, 8), layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=("a", "b", "c"),
        detectors=(
            DetectorSpec(name="linear", threshold=Threshold(0.5, 0.05, 0.99, 500, 0.03), quantiles=QUANTILES),
            DetectorSpec(name="msp", threshold=Threshold(-0.4, 0.05, 0.99, 500, 0.03), quantiles=QUANTILES),
        ),
        detector="linear",
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )
