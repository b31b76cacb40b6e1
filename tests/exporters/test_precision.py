"""Victims in half precision and in eight bits: stages found in what converters write, answers within what precision costs."""

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import PARITY_HALF, PARITY_QUANTISED, check_parity
from exporters.runtime import run
from exporters.taps import find_taps

SIDE = 24
_RNG = np.random.default_rng(2)
IMAGES = _RNG.random((24, 3, SIDE, SIDE), dtype=np.float32) * _RNG.random((24, 3, 1, 1), dtype=np.float32)  # of any tint


class Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, width, 3, stride, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.short = nn.Conv2d(channels, width, 1, stride)

    def forward(self, x):
        return (self.b(self.a(x).relu()) + self.short(x)).relu()


def residual() -> nn.Module:
    torch.manual_seed(0)
    blocks = [Block(3, 8, 1), Block(8, 12, 2), Block(12, 16, 2)]
    module = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # so that answers follow the image's tint
    return module.eval()


class Half(nn.Module):
    """As `module.half()` is served: images come in as float32 and answers leave so."""

    def __init__(self) -> None:
        super().__init__()
        self.module = residual().half()

    def forward(self, image):
        return self.module(image.half()).float()


class Reader(CalibrationDataReader):
    def __init__(self, name: str) -> None:
        self._feeds = iter([{name: IMAGES[i : i + 8]} for i in range(0, len(IMAGES), 8)])

    def get_next(self):
        return next(self._feeds, None)


@pytest.fixture(scope="module")
def single(tmp_path_factory, export_plainly):
    free = {"dynamic_shapes": ({0: torch.export.Dim("n")},), "external_data": False, "verbose": False}
    return export_plainly(residual(), tmp_path_factory.mktemp("single") / "single.onnx", IMAGES[:2], **free)


def exported_half(single, path, export_plainly) -> None:
    free = {"dynamic_shapes": ({0: torch.export.Dim("n")},), "external_data": False, "verbose": False}
    export_plainly(Half(), path, IMAGES[:2], **free)


def converted_half(single, path, export_plainly) -> None:
    onnx.save(convert_float_to_float16(onnx.load(single), keep_io_types=True), path)


def quantised(single, path, export_plainly) -> None:
    name = onnx.load(single).graph.input[0].name
    quantize_static(str(single), str(path), Reader(name), quant_format=QuantFormat.QDQ, per_channel=True)


KINDS = {
    "half, by PyTorch": (exported_half, PARITY_HALF, 0.02),
    "half, by ONNX Runtime": (converted_half, PARITY_HALF, 0.02),
    "eight bits, QDQ": (quantised, PARITY_QUANTISED, 0.15),
}


@pytest.mark.parametrize("kind", KINDS)
def test_victim_of_less_precision_has_its_taps_and_answers_as_its_file_does(tmp_path, single, export_plainly, fitted_heads, kind):
    make, tolerance, of_features = KINDS[kind]
    path = tmp_path / "victim.onnx"
    make(single, path, export_plainly)
    model, whole = load_graph(path), load_graph(single)
    taps, plain = find_taps(model), find_taps(whole)
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(8, 24, 24), (12, 12, 12), (16, 6, 6)]
    assert taps.shapes[taps.penultimate][1] == 16
    fused = graph_bytes(fuse(model, taps, fitted_heads(model, taps, IMAGES)))
    assert check_parity(path, taps, fused, IMAGES) <= tolerance
    found, theirs = (run(graph_bytes(feature_graph(m, t)), IMAGES) for m, t in ((model, taps), (whole, plain)))
    assert {a.dtype for a in found.values()} == {np.dtype(np.float32)}
    for tap in ("stage1", "stage2", "stage3", "penultimate", "logits"):
        gap = np.abs(found[tap] - theirs[tap]).max() / np.abs(theirs[tap]).max()
        assert gap < of_features, f"{tap} is another tensor than in float32"
    assert theirs["probabilities"].std(axis=0).max() > 0.01, "answers that are all alike agree with anything"


def test_victim_quantised_operator_by_operator_keeps_its_logits_and_few_stages(tmp_path, single, fitted_heads):
    path = tmp_path / "victim.onnx"
    name = onnx.load(single).graph.input[0].name
    quantize_static(str(single), str(path), Reader(name), quant_format=QuantFormat.QOperator)
    model = load_graph(path)
    taps = find_taps(model)
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(16, 6, 6)]  # what lies between two such operators is no float
    assert taps.penultimate is None
    fused = graph_bytes(fuse(model, taps, fitted_heads(model, taps, IMAGES)))
    assert check_parity(path, taps, fused, IMAGES) <= PARITY_QUANTISED
