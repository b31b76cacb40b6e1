"""A plain ONNX Runtime session: features, parity and calibration run here, offline."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from guard.errors import ConfigError, GraphError
from guard.quiet_runtime import ort
from guard.registry import nearest
from guard.types import Array, Floats, Reporter

_ERRORS_ONLY = 3  # ONNX Runtime's log level


def run(  # noqa: PLR0913  # two are what is run, the rest have a default
    model: bytes,
    images: Array | Iterable[Array],
    *,
    outputs: Sequence[str] | None = None,
    batch_size: int = 32,
    progress: Reporter | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> dict[str, Floats]:
    """Return output name -> (n, ...) float32 for one array (n, ...) or for batches of it, all outputs unless some are named.

    `progress` hears images done and in all; while batches come one by one, "in all" is what has been done. With n = 0 every
    array has 0 rows and its usual shape otherwise. GraphError if ONNX Runtime refuses the graph or the images.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
    session = open_session(model, providers=providers)
    names = _names(session, outputs)
    image = session.get_inputs()[0]
    total = len(images) if isinstance(images, np.ndarray) else None
    parts: list[list[Array]] = []
    done = 0
    for batch in _batches(images, batch_size):
        parts.append(_infer(session, names, {image.name: batch}))
        done += len(batch)
        if progress is not None:
            progress(done, done if total is None else total)
    if not parts:  # some graphs cannot run on no rows, and none need to: one row tells the shapes
        shape = images.shape[1:] if isinstance(images, np.ndarray) else image.shape[1:]
        parts.append([a[:0] for a in _infer(session, names, {image.name: np.zeros((1, *shape), np.float32)})])
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def open_session(model: bytes, *, providers: Sequence[str] = ("CPUExecutionProvider",)) -> ort.InferenceSession:
    """Return a session on a model held in memory; GraphError with ONNX Runtime's reason if it refuses the graph."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        return ort.InferenceSession(model, options, providers=list(providers))
    except Exception as error:  # its exceptions share no base but this one
        raise GraphError(f"ONNX Runtime cannot load the graph: {_reason(error)}") from error


def _names(session: ort.InferenceSession, wanted: Sequence[str] | None) -> list[str]:
    known = [output.name for output in session.get_outputs()]
    for name in wanted or ():
        if name not in known:
            raise GraphError(f"the graph has no output {name!r}{nearest(name, known)}")
    return known if wanted is None else list(wanted)


def _batches(images: Array | Iterable[Array], batch_size: int) -> Iterator[Floats]:
    for array in [images] if isinstance(images, np.ndarray) else images:
        for start in range(0, len(array), batch_size):
            yield np.ascontiguousarray(array[start : start + batch_size], dtype=np.float32)


def _infer(session: ort.InferenceSession, names: list[str], feed: dict[str, Array]) -> list[Array]:
    try:
        found: list[Array] = session.run(names, feed)
    except Exception as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
        raise GraphError(f"the graph cannot run on {shapes}: {_reason(error)}") from error
    return found


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
