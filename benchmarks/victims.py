"""Bundles to serve: victims with random weights, which cost what trained ones do, with the demo's three heads or without any."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluation.models import architecture, build
from exporters.fuse import fuse
from exporters.graph import graph_bytes, load_graph
from exporters.rewrite import prune
from exporters.taps import find_taps
from exporters.torch_export import export_victim
from guard.bundle import QUANTILES, DetectorSpec, InputSpec, Manifest, Provenance, write_bundle
from guard.calibration import Threshold
from guard.detectors.base import FitData
from guard.detectors.energy import Energy
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.msp import Msp

N_CLASSES = 10


def export(name: str, side: int, folder: Path) -> Path:
    """Return the ONNX file of one of our architectures at `side` pixels."""
    path = folder / f"{name}-{side}.onnx"
    if not path.exists():
        sample = np.random.default_rng(0).random((4, 3, side, side), np.float32)
        export_victim(build(name, n_classes=N_CLASSES, seed=0), path, sample=sample, stages=architecture(name).stages)
    return path


def plain_and_fused(path: Path) -> tuple[bytes, bytes]:
    """Return the victim alone, answering probabilities, and with the default heads, linear-late, energy and msp, fused."""
    victim = load_graph(path)
    taps = find_taps(victim)
    nothing = FitData({}, np.zeros(0, np.int64), taps.n_classes, {})
    late = list(taps.stages.items())[len(taps.stages) // 2 :]
    channels = {name: int(taps.shapes[tensor][1] or 0) for name, tensor in late}
    heads = {"linear-late": _linear_head(channels), "energy": Energy().fit(nothing), "msp": Msp().fit(nothing)}
    fused = fuse(victim, taps, heads)
    return without_heads(fused), graph_bytes(fused)


def without_heads(fused: onnx.ModelProto) -> bytes:
    """Return the graph that answers its first output, the probabilities, and computes nothing else."""
    plain = onnx.ModelProto()
    plain.CopyFrom(fused)
    del plain.graph.output[1:]
    prune(plain.graph)  # ONNX Runtime would compute what nobody reads
    return graph_bytes(plain)


def bundles(name: str, side: int, folder: Path) -> tuple[Path, Path]:
    """Return two bundles' folders: one without heads, whose one score is its first probability, and one with three."""
    plain, fused = plain_and_fused(export(name, side, folder))
    model = onnx.load_model_from_string(plain)
    for key, value in (("kg_first", [0]), ("kg_next", [1])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), key))
    model.graph.node.append(helper.make_node("Slice", ["probabilities", "kg_first", "kg_next", "kg_next"], ["scores"]))
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1]))
    return (
        write(folder / f"{name}-plain", model.SerializeToString(), side, ("none",)),
        write(folder / f"{name}-fused", fused, side, ("linear-late", "energy", "msp")),
    )


def made_up(folder: Path, side: int, widths: Sequence[int] = ()) -> Path:
    """Write a bundle of strided convolutions of these widths with one head, and return its folder.

    Without any it reads each channel's mean: it computes next to nothing, and what is left is the price of the wire.
    """
    rng = np.random.default_rng(0)
    node, info = helper.make_node, helper.make_tensor_value_info
    nodes, constants, tensor, channels = [], [], "image", 3
    for i, width in enumerate(widths):
        weight = rng.standard_normal((width, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
        constants.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(node("Conv", [tensor, f"w{i}"], [f"c{i}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(node("Relu", [f"c{i}"], [f"r{i}"]))
        tensor, channels = f"r{i}", width
    for head, n in (("classify", N_CLASSES), ("detect", 1)):
        constants.append(numpy_helper.from_array(rng.standard_normal((channels, n), np.float32), head))
    nodes += [node("GlobalAveragePool", [tensor], ["pooled"]), node("Flatten", ["pooled"], ["features"])]
    nodes += [node("MatMul", ["features", "classify"], ["logits"]), node("Softmax", ["logits"], ["probabilities"], axis=1)]
    nodes += [node("MatMul", ["features", "detect"], ["scores"])]
    inputs = [info("image", TensorProto.FLOAT, ["n", 3, side, side])]
    outputs = [info(output, TensorProto.FLOAT, ["n", n]) for output, n in (("probabilities", N_CLASSES), ("scores", 1))]
    graph = helper.make_graph(nodes, "victim", inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return write(folder / f"made-up-{side}-{'-'.join(map(str, widths))}", model, side, ("linear",))


def light_and_heavy(folder: Path) -> dict[str, tuple[Path, int]]:
    """Return bundles from one that computes next to nothing to one that computes, and their pixels a side, by name."""
    return {
        "next to nothing, 32 px": (made_up(folder, 32), 32),
        "cnn-wide, 32 px": (bundles("cnn-wide", 32, folder)[1], 32),
        "CNN, 128 px": (made_up(folder, 128, (32, 64, 128)), 128),
    }


def write(folder: Path, model: bytes, side: int, detectors: Sequence[str]) -> Path:
    """Write a bundle called `victim` in observe, each detector's threshold at 0, and return its folder."""
    threshold = Threshold(value=0.0, target_fpr=0.05, confidence=0.99, n=500, expected_fpr=0.03)
    manifest = Manifest(
        format_version=1,
        name="victim",
        version="1",
        model="model.onnx",
        sha256=sha256(model).hexdigest(),
        input=InputSpec(name="image", shape=(3, side, side), layout="NCHW", scale=1 / 255),
        output="probabilities",
        labels=tuple(f"class-{i}" for i in range(N_CLASSES)),
        detectors=tuple(DetectorSpec(name=name, threshold=threshold, quantiles=QUANTILES) for name in detectors),
        detector=detectors[0],
        provenance=Provenance(created="2026-01-01T00:00:00+00:00", victim_sha256="0" * 64, images={}, versions={}, stages={}),
    )
    write_bundle(folder, manifest=manifest, model=model)
    return folder


def _linear_head(stages: Mapping[str, int]) -> Head:
    """A head of the linear detectors' shape; its values do not matter to the clock."""
    g = HeadBuilder()
    x = g.concat([g.tap(name) for name in stages], axis=1)
    weights = np.random.default_rng(0).normal(size=(2 * sum(stages.values()), 1))
    return g.head(score=g.squeeze(g.add(g.matmul(x, weights), np.ones(1)), axis=1))
