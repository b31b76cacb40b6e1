"""A bundle that guards nothing: what an experiment without a detector serves, since every bundle has a detector."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import onnx

from exporters.fuse import fuse
from exporters.graph import graph_bytes
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import Taps
from guard.bundle import QUANTILES, DetectorSpec, Provenance
from guard.calibration import Threshold
from guard.detectors.head import HeadBuilder
from guard.preprocess import to_inputs
from guard.types import Pixels
from knockguard.protect import Plan, Protected, manifest_of, tool_versions

NOTHING = "none"
_SHOWN = 64


def unguarded(victim: onnx.ModelProto, taps: Taps, plan: Plan, shown: Pixels, *, original: Path) -> Protected:
    """Return the victim behind a score that is never above its threshold; no image fits or calibrates anything.

    `shown` (n, h, w, 3) are images that the bundle's answers are compared with the original's on. The plan's detectors are not
    looked at. GraphError, or ParityError if the answers differ.
    """
    g = HeadBuilder()
    # The score is minus a probability, so at most 0. A threshold says how many images it is of, and 0 is not a count it takes.
    head = g.head(score=g.neg(g.reduce_max(g.tap("probabilities"), axis=1)))
    never = Threshold(value=0.0, target_fpr=plan.target_fpr, confidence=plan.confidence, n=1, expected_fpr=0.0)
    fused = graph_bytes(fuse(victim, taps, {NOTHING: head}))
    inputs = to_inputs(shown[:_SHOWN], plan.spec)
    check_parity(original, taps, fused, inputs)
    provenance = Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        victim_sha256=sha256(graph_bytes(victim)).hexdigest(),
        images={},
        versions=tool_versions(),
        stages=dict(taps.stages),
    )
    nothing = DetectorSpec(name=NOTHING, threshold=never, quantiles=(0.0,) * len(QUANTILES))
    manifest = manifest_of(plan, fused, (nothing,), provenance)
    sure = run(fused, inputs, outputs=("probabilities",))["probabilities"].max(axis=1).mean()
    return Protected(manifest, fused, (), float(sure))
