"""`knockguard protect` on a model of flattened images, as scikit-learn's are."""

from pathlib import Path

import numpy as np
import pytest
from miniature import SIDE, InProcess, Miniature, discs
from onnx import TensorProto, helper, numpy_helper

from exporters.runtime import run
from guard.bundle import load_bundle

WIDTH = SIDE * SIDE * 3


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes by how much of each colour a flattened (height, width, channels) image holds."""
    colour = np.eye(3, dtype=np.float32)[np.arange(WIDTH) % 3] / np.float32(SIDE)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["evidence"]), helper.make_node("Softmax", ["evidence"], ["p"], axis=1)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in (("x", WIDTH), ("p", 3))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(colour, "w")])
    path = tmp_path_factory.mktemp("flat") / "flat.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def words(miniature: Miniature, flat: Path, out: Path, *more: object) -> list[object]:
    given = miniature.words(out, *more)
    given[1] = flat
    return given


def test_model_of_flattened_images_is_protected_and_takes_images(
    miniature: Miniature, flat: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    shape = f"{SIDE},{SIDE},3"
    done = knockguard(*words(miniature, flat, tmp_path / "bundle", "--input-shape", shape, "--detector", "energy"))
    assert done.code == 0, done.err
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.manifest.input.shape, bundle.manifest.input.layout) == ((SIDE, SIDE, 3), "NHWC")
    assert [d.name for d in bundle.manifest.detectors] == ["energy", "msp"], "what needs stages is left out"
    images, labels = discs(30, seed=7)
    answers = run(bundle.model, images.astype(np.float32) / 255, outputs=("probabilities",))["probabilities"]
    assert (answers.argmax(axis=1) == labels).all()


@pytest.mark.parametrize(
    "case",
    [
        ([], 3, "flattened images; say what shape they have"),
        (["--input-shape", "24x24x3"], 2, "'24x24x3' is not three whole numbers; write 32,32,3"),
        (["--input-shape", "8,8,3"], 3, "takes 1728 numbers an image, and 8 x 8 x 3 are 192"),
        (
            ["--input-shape", "24,24,3"],
            2,
            "--detector linear-late: the graph has no stages; name tensors with --stage stage1=TENSOR",
        ),
    ],
)
def test_what_is_missing_is_said_with_the_way_out(
    miniature: Miniature, flat: Path, tmp_path: Path, knockguard: InProcess, case: tuple[list[str], int, str]
) -> None:
    more, code, message = case
    done = knockguard(*words(miniature, flat, tmp_path / "bundle", *more))
    assert (done.code, message in done.words, "[1/5]" in done.err) == (code, True, False), done.err
