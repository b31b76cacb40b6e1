"""Weights that an ONNX file keeps in other files: read in, and only from the model's own folder.

PyTorch's exporter writes them so by default. A location is somebody else's text: an absolute path, `..` or a symbolic link would
make `protect` copy any file of this machine into a bundle.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from guard.errors import GraphError


def inline_external(model: ModelProto, folder: Path, *, max_bytes: int) -> None:
    """Read every external tensor into the model, in place.

    GraphError if a location leads out of `folder`, is missing or too short, or if all together exceed `max_bytes`.
    """
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        try:
            path = _inside(folder, location)
            offset, length = _range(path, entries)
            total += length
            if total > max_bytes:
                raise GraphError(f"the weights beside the model exceed {max_bytes} bytes; one ONNX message holds no more")
            with path.open("rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(length)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise GraphError(f"the model's weights at {location!r:.200} cannot be read ({reason}); export it again") from None
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _inside(folder: Path, location: str) -> Path:
    parts = PurePosixPath(location)
    if not location or parts.is_absolute() or PureWindowsPath(location).anchor or ".." in parts.parts:
        raise GraphError(f"the model's weights lie at {location!r}; only files in the model's own folder are read")
    # Compared with every link resolved, so that neither the file nor a folder on the way is one.
    expected = Path(os.path.realpath(folder), *parts.parts)
    if Path(os.path.realpath(expected)) != expected:
        raise GraphError(f"the model's weights at {location!r} are a symbolic link; copy the file itself beside the model")
    if not expected.is_file():
        raise GraphError(f"the model's weights lie in {location!r}, which is not beside it; copy both files")
    return expected


def _range(path: Path, entries: dict[str, str]) -> tuple[int, int]:
    size = path.stat().st_size
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size - offset)))
    except ValueError:
        raise GraphError(f"the model names no readable place in {path.name!r}; export it again") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise GraphError(f"{path.name!r} has {size} bytes and the model reads up to byte {offset + length}; copy the file again")
    return offset, length


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _tensors(graph)
