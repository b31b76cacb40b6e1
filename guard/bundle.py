"""A bundle: what is deployed. A folder with a manifest, one fused model and its hash; never a secret.

Format version 1. `write_bundle` writes beside its target and renames, so a bundle is whole or not there. `load_bundle` trusts
nothing that it reads: names may not lead out of the folder, the hash must match, and the model may not refer to other files.
"""

import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guard.errors import BundleError
from guard.onnx_wire import external_files
from guard.settings import explain

MANIFEST = "bundle.json"
MODEL = "model.onnx"
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 4 << 20
MAX_MODEL_BYTES = 2 << 30  # protobuf's own limit for one message

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Frozen):
    """The victim's input: `shape` is one row's, in the graph's own layout; values are `scale` * pixel + nothing.

    `step` is the smallest difference in the input that counts as another image: one grey level.
    """

    name: str
    shape: tuple[int, ...]
    layout: Literal["NCHW", "NHWC"]
    scale: float  # what one grey level of uint8 becomes: 1/255 where the graph takes 0..1, 1.0 where it takes 0..255
    mean: tuple[float, ...] = (0.0,)  # after scaling, a channel: subtracted before the graph; zeros where it normalises itself
    std: tuple[float, ...] = (1.0,)


class ThresholdSpec(_Frozen):
    """A calibrated threshold, as `guard.calibration.Threshold`: flagged when score > value."""

    value: float
    target_fpr: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    n: Annotated[int, Field(ge=1)]
    expected_fpr: Annotated[float, Field(ge=0, lt=1)]


class DetectorSpec(_Frozen):
    """One column of the graph's `scores` output."""

    name: Name
    threshold: ThresholdSpec


class PolicySpec(_Frozen):
    """The policy that a gateway starts with unless it is told otherwise."""

    name: str = "observe"
    apply_to: Literal["flagged", "all", "nobody"] = "flagged"
    options: dict[str, float | int | str | bool] = {}


class Provenance(_Frozen):
    """Where the bundle came from: counts of images, versions of tools, and the hash of the unfused model."""

    created: str
    victim_sha256: str
    images: dict[str, int]
    versions: dict[str, str]
    stages: dict[str, str]  # stage name -> tensor of the victim's graph


class Manifest(_Frozen):
    """bundle.json."""

    format_version: Literal[1]
    name: Name
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]
    model: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: InputSpec
    output: str  # the probabilities' name on the wire
    labels: tuple[str, ...]
    detectors: tuple[DetectorSpec, ...]
    detector: str  # the one that decides
    policy: PolicySpec = PolicySpec()
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and checked; `model` is the fused graph's bytes, read once, so what was hashed is what runs."""

    manifest: Manifest
    model: bytes
