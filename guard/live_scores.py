"""The scores of the rows that were decided last, to be compared with those of the calibration."""

import threading

import numpy as np

from guard.bundle import Manifest
from guard.drift import Drift, count, drift
from guard.types import Floats

SIZE = 4096  # rows: enough that no accident moves a quarter of them, few enough that a change shows within the hour


class LiveScores:
    """A ring of (size, m) scores, one column a detector: bounded, and an assignment a request. Any thread may add and ask."""

    def __init__(self, manifest: Manifest, size: int = SIZE) -> None:
        self._detectors = manifest.detectors
        self._ring = np.empty((size, len(manifest.detectors)), np.float32)
        self._n_seen = 0
        self._lock = threading.Lock()

    def add(self, scores: Floats) -> None:
        """Keep (n, m) scores in place of the oldest."""
        size = len(self._ring)
        scores = scores[-size:]
        with self._lock:
            start = self._n_seen % size
            first = min(len(scores), size - start)
            self._ring[start : start + first] = scores[:first]
            self._ring[: len(scores) - first] = scores[first:]
            self._n_seen += len(scores)

    def drifts(self) -> dict[str, Drift]:
        """Return each detector's drift, by name; none before the first score."""
        with self._lock:
            recent = self._ring[: self._n_seen].copy()
        if not len(recent):
            return {}
        found = {}
        for column, spec in zip(recent.T, self._detectors, strict=True):
            found[spec.name] = drift(count(column, spec.quantiles), spec.quantiles, n_calibration=spec.threshold.n)
        return found
