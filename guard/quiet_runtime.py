"""ONNX Runtime, told first to keep to itself: `from guard.quiet_runtime import ort` is the only import of it in this project.

From 1.29 on it reports each model that it loads to its makers, and heeds nothing but this variable, and that only before it is
imported. Whoever sets the variable to 0 is heard. A host that has imported ONNX Runtime already must have set it itself.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
