"""The same gateway without a guard, to measure against: `python benchmarks/unguarded.py serve BUNDLE`.

The product has no such switch. Nothing is flagged, no key is made and no policy is asked; decoding, batching, inference and
the usual metrics stay.
"""

from collections.abc import Sequence

import numpy as np

import grpc_api.server
from grpc_api.loading import Loader, Mode
from guard.bundle import Manifest
from guard.guard import Decision, Guard
from guard.types import Floats
from knockguard.cli import main


class Unguarded(Guard):
    """Answers what the model answered."""

    def keys(self, inputs: Floats) -> Sequence[bytes]:
        return ()

    def decide(
        self, probabilities: Floats, scores: Floats, row_keys: Sequence[bytes] = (), *, tenant: str | None = None
    ) -> Decision:
        nothing = np.zeros(0, np.float32)
        return Decision(probabilities, flagged=nothing > 0, actions=(), policies=(), score=nothing)


class UnguardedLoader(Loader):
    """Loads bundles as ever and puts no guard in front."""

    def guard(self, manifest: Manifest, mode: Mode) -> Guard:
        guarded = super().guard(manifest, mode)
        return Unguarded(manifest, guarded.policy, apply_to=guarded.apply_to)


if __name__ == "__main__":
    grpc_api.server.Loader = UnguardedLoader
    main()
