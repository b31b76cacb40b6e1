"""A bundle: what is deployed. A folder with a manifest, one fused model and its hash; never a secret.

Format version 1. `write_bundle` writes beside its target and renames, so a bundle is whole or not there. `load_bundle` trusts
nothing that it reads: names may not lead out of the folder, the hash must match, and the model may not refer to other files.
"""

import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guard.calibration import Threshold
from guard.errors import BundleError
from guard.onnx_wire import external_files
from guard.seen import SEEN, Seen, SeenSpec
from guard.settings import explain, keys_of
from guard.whole import left_aside, occupied, write_folder

MANIFEST = "bundle.json"
MODEL = "model.onnx"
FORMAT_VERSION = 1
QUANTILES = tuple(i / 20 for i in range(1, 20))
MAX_MANIFEST_BYTES = 4 << 20
MAX_MODEL_BYTES = 2 << 30  # protobuf's own limit for one message
MAX_ROW_VALUES = 1 << 26  # of one image; four channels of 4,096 by 4,096

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Version = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Frozen):
    """The victim's input: `shape` is one row's, in the graph's own layout; the graph takes (grey level * scale - mean) / std."""

    name: str
    shape: tuple[int, ...]
    layout: Literal["NCHW", "NHWC"]
    scale: float  # 1/255 where the graph takes 0..1, 1.0 where it takes 0..255
    mean: tuple[float, ...] = (0.0,)  # one for all channels, or one a channel; 0 and 1 where the graph normalises itself
    std: tuple[float, ...] = (1.0,)


class DetectorSpec(_Frozen):
    """One column of the graph's `scores` output, with the 5 %, 10 %, ... 95 % quantiles of its calibration scores.

    Live scores are counted between these quantiles, so that a drift shows.
    """

    name: Name
    threshold: Threshold
    quantiles: Annotated[tuple[float, ...], Field(min_length=19, max_length=19)]


class PolicySpec(_Frozen):
    """The policy that a gateway starts with unless it is told otherwise."""

    name: str = "observe"
    apply_to: Literal["flagged", "all", "nobody"] = "flagged"
    options: dict[str, float | int | str | bool] = {}


class MatchedSpec(_Frozen):
    """The chain that in and out images went through, and what statistics that know nothing of content still made of them.

    Larger images were reduced to `source_px` by `kernel` and coded at `source_quality`, then all to `side_px`, JPEG quality drawn
    from `qualities`. `baseline_*` are of `n_in` and `n_out` fitting images that the baseline had not seen.
    """

    source_px: int
    kernel: str
    source_quality: int | None
    side_px: int
    qualities: tuple[int, int]
    baseline_auroc: float
    baseline_tpr: float
    baseline_fpr: float
    n_in: int
    n_out: int


class Provenance(_Frozen):
    """Where the bundle came from: counts of images, versions of tools, the unfused model's hash, and the detectors' options.

    `matched` is None where the images had one history from the start, and in bundles made before it was recorded.
    """

    created: str
    victim_sha256: str
    images: dict[str, int]
    versions: dict[str, str]
    stages: dict[str, str]  # stage name -> tensor of the victim's graph
    options: dict[str, dict[str, float | int | str | bool]] = {}
    seen: SeenSpec | None = None  # None in bundles made before it was recorded
    matched: MatchedSpec | None = None


class Manifest(_Frozen):
    """bundle.json."""

    format_version: Literal[1]
    name: Name
    version: Version
    model: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: InputSpec
    output: str  # the probabilities' name on the wire
    labels: tuple[str, ...]
    detectors: tuple[DetectorSpec, ...]
    detector: str  # the one that decides
    policy: PolicySpec = PolicySpec()
    provenance: Provenance

    @property
    def digest(self) -> str:
        """Twelve hex digits that name this very bundle, thresholds included; the model is in them by its own hash."""
        # Without what was recorded later: rows that were logged under an old bundle's digest still count as its own.
        absent = {"provenance": {name for name in ("seen", "matched") if getattr(self.provenance, name) is None}}
        return sha256(self.model_dump_json(exclude=absent).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and checked; `model` is the fused graph's bytes, read once, so what was hashed is what runs."""

    manifest: Manifest
    model: bytes


def write_bundle(folder: Path, *, manifest: Manifest, model: bytes, seen: Seen | None = None, force: bool = False) -> None:
    """Write a whole bundle or nothing: whatever comes in between, the old one stays or returns. BundleError as `check_place`.

    What is written says of `seen` what is given, whatever the manifest said.
    """
    check_place(folder, force=force)
    made = manifest.provenance.model_copy(update={"seen": None if seen is None else seen.spec()})
    files = {MODEL: model, MANIFEST: (manifest.model_copy(update={"provenance": made}).model_dump_json(indent=2) + "\n").encode()}
    write_folder(folder, files | ({} if seen is None else {SEEN: seen.content()}), last=MANIFEST)


def check_place(folder: Path, *, force: bool) -> None:
    """BundleError if a bundle may not be written there; see `guard.whole.occupied`."""
    if why := occupied(folder, what="bundle", marker=MANIFEST, force=force):
        raise BundleError(why)


def load_bundle(folder: Path) -> Bundle:
    """Read and check a bundle; BundleError says what is missing, altered, too large, too new, or leads elsewhere."""
    manifest = _read_manifest(folder / MANIFEST)
    model = _read_model(folder, manifest.model)
    found = sha256(model).hexdigest()
    if found != manifest.sha256:
        raise BundleError(
            f"{folder / manifest.model} does not match its manifest (sha256 {found[:12]}..., "
            f"expected {manifest.sha256[:12]}...); copy the bundle again, or make it anew with `knockguard protect`"
        )
    if n := external_files(model):
        raise BundleError(f"the model refers to {n} tensors in other files; a bundle's model holds all of its weights")
    _check_sense(manifest)
    return Bundle(manifest, model)


def _read_manifest(path: Path) -> Manifest:
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise BundleError(f"{path} leads out of the bundle; a bundle holds all of its files")
    try:
        if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} has {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        folder = path.parent
        kept = left_aside(folder)
        fix = f"a replacement was cut off: move {kept} there" if kept else "make one with `knockguard protect`"
        raise BundleError(f"no bundle at {folder}: cannot read {path.name} ({error.strerror}); {fix}") from None
    except UnicodeDecodeError:
        raise BundleError(f"{path} is no text file; make the bundle anew with `knockguard protect`") from None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{path}: {explain(error, keys_of(Manifest))}") from None


def _read_model(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"the manifest's model {name!r} leads out of the bundle; a bundle holds all of its files")
        size = path.stat().st_size
        if not path.is_file():  # a pipe would be waited for, a device read for ever
            raise BundleError(f"the bundle's model {name!r} is no file; copy the bundle again")
        if size > MAX_MODEL_BYTES:
            raise BundleError(f"{path} has {size} bytes; a model has at most {MAX_MODEL_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BundleError(f"cannot read the bundle's model {name!r:.200} ({reason}); copy the bundle again") from None


def _check_sense(manifest: Manifest) -> None:
    names = [d.name for d in manifest.detectors]
    if len(set(names)) != len(names):
        raise BundleError(f"the manifest names a detector twice: {', '.join(names)}")
    for detector in manifest.detectors:
        own = detector.threshold.per_class
        if own is not None and len(own) != len(manifest.labels):
            raise BundleError(
                f"detector {detector.name!r} has {len(own)} thresholds for {len(manifest.labels)} classes; make it anew"
            )
    if manifest.detector not in names:
        raise BundleError(
            f"the manifest's detector {manifest.detector!r} is none of its detectors: {', '.join(names) or 'it has none'}"
        )
    _check_input(manifest.input)


def _check_input(spec: InputSpec) -> None:
    """BundleError unless every image can be turned into what the graph takes: a client is not to be blamed for a manifest."""
    if len(spec.shape) != 3 or min(spec.shape) < 1:
        raise BundleError(f"the manifest's input shape is {spec.shape}; it must be three positive numbers")
    if (values := math.prod(spec.shape)) > MAX_ROW_VALUES:
        raise BundleError(
            f"the manifest's input shape {spec.shape} has {values} values a row; at most {MAX_ROW_VALUES} are served"
        )
    channels = spec.shape[2 if spec.layout == "NHWC" else 0]
    for name, found in (("mean", spec.mean), ("std", spec.std)):
        if len(found) not in (1, channels):
            raise BundleError(
                f"the manifest's input {name} has {len(found)} values; it must have one, or one for each of {channels} channels"
            )
    if not all(map(math.isfinite, (spec.scale, *spec.mean, *spec.std))):
        raise BundleError("the manifest's input scale, mean and std must be finite numbers")
    if not spec.scale > 0 or not all(s > 0 for s in spec.std):
        raise BundleError("the manifest's input scale and std must be greater than 0")
