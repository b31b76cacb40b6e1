"""Bundles: whole or not there, and nothing in one is trusted."""

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guard.bundle import Manifest, load_bundle, write_bundle
from guard.errors import BundleError
from guard.onnx_wire import external_files
from guard.seen import Seen, read_seen

BY_CLASS = {
    "name": "linear",
    "threshold": {"value": 0, "target_fpr": 0.05, "confidence": 0.99, "n": 500, "expected_fpr": 0.03, "per_class": [0, 1, 2]},
    "quantiles": [0] * 19,
}


def tiny_model(*, external: str | None = None, nested: bool = False) -> bytes:
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    if external:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=external)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inits = [weight]
    if nested:
        node, inits = helper.make_node("Constant", [], ["y"], value=weight), []
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, ["n", 2])], [info("y", TensorProto.FLOAT, None)], inits)
    return helper.make_model(graph).SerializeToString()


def bundle(manifest: Manifest, model: bytes) -> Manifest:
    return manifest.model_copy(update={"sha256": sha256(model).hexdigest()})


def test_manifest_that_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("private")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="leads out of the bundle") as caught:
        load_bundle(tmp_path / "bundle")
    assert "private" not in str(caught.value)


def test_text_that_is_no_json_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("private")
    with pytest.raises(BundleError, match="Invalid JSON") as caught:
        load_bundle(tmp_path)
    assert "private" not in str(caught.value)


def test_written_bundle_reads_back(tmp_path: Path, manifest: Manifest) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    loaded = load_bundle(tmp_path / "b")
    assert loaded.model == model
    assert loaded.manifest == bundle(manifest, model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]


def test_bundle_from_before_its_images_were_recorded_is_read_and_keeps_its_digest(tmp_path: Path, manifest: Manifest) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "old", manifest=bundle(manifest, model), model=model)
    path = tmp_path / "old" / "bundle.json"
    document = json.loads(path.read_text())
    document["provenance"] = {key: value for key, value in document["provenance"].items() if value is not None}
    assert {"seen", "matched"}.isdisjoint(document["provenance"])
    path.write_text(json.dumps(document))
    found = load_bundle(tmp_path / "old").manifest
    assert found.provenance.seen is found.provenance.matched is None
    # Rows that were logged under it carry this digest.
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    assert found.digest == sha256(text.encode()).hexdigest()[:12]


def test_images_that_made_a_bundle_are_written_with_it_and_change_its_digest(tmp_path: Path, manifest: Manifest) -> None:
    model = tiny_model()
    seen = Seen.of([b"a" * 32, b"b" * 32], kinds=("mixture",))
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model, seen=seen)
    found = load_bundle(tmp_path / "b").manifest
    assert read_seen(tmp_path / "b", found.provenance.seen) == seen
    assert found.digest != bundle(manifest, model).digest
    assert (tmp_path / "b" / "seen.bin").read_bytes() == b"a" * 8 + b"b" * 8


def test_altered_model_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    path = tmp_path / "b" / "model.onnx"
    path.write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
    with pytest.raises(BundleError, match="does not match its manifest"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("nested", [False, True])
def test_external_data_is_refused(tmp_path: Path, manifest: Manifest, nested: bool) -> None:
    model = tiny_model(external="../weights.bin", nested=nested)
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    with pytest.raises(BundleError, match="1 tensors in other files"):
        load_bundle(tmp_path / "b")


def test_wire_walk_agrees_with_onnx() -> None:
    assert external_files(tiny_model()) == 0
    onnx.load_model_from_string(tiny_model())


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname", "link.onnx"])
def test_model_outside_the_bundle_is_refused(tmp_path: Path, manifest: Manifest, name: str) -> None:
    model = tiny_model()
    (tmp_path / "model.onnx").write_bytes(model)
    folder = tmp_path / "b"
    write_bundle(folder, manifest=bundle(manifest, model).model_copy(update={"model": name}), model=model)
    (folder / "link.onnx").symlink_to(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": "knn"}, "'knn' is none of its detectors"),
        ({"detectors": []}, "it has none"),
        ({"labels": ["a", "b"], "detectors": [BY_CLASS]}, "has 3 thresholds for 2 classes"),
        ({"format_version": 2}, "format_version"),
        ({"detecter": "msp"}, "detecter: there is no such key; did you mean 'detector'"),
    ],
)
def test_senseless_manifests_are_refused(tmp_path: Path, manifest: Manifest, change: dict[str, object], message: str) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path / "b")


INPUT = {"name": "image", "shape": [3, 8, 8], "layout": "NCHW", "scale": 1.0, "mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0, 0.5]}, "mean has 2 values; it must have one, or one for each of 3 channels"),
        ({"mean": []}, "mean has 0 values"),
        ({"std": []}, "std has 0 values"),
        ({"layout": "NHWC", "mean": [0, 0, 0]}, "one for each of 8 channels"),
        ({"mean": [float("nan")]}, "must be finite"),
        ({"std": [float("inf")]}, "must be finite"),
        ({"scale": float("inf")}, "must be finite"),
        ({"scale": 0.0}, "greater than 0"),
        ({"std": [1, 1, 0]}, "greater than 0"),
        ({"shape": [3, 10**6, 10**6]}, "3000000000000 values a row; at most 67108864"),
        ({"shape": [3, 8]}, "three positive numbers"),
    ],
)
def test_input_that_no_image_can_be_turned_into_is_refused_at_load(
    tmp_path: Path, manifest: Manifest, change: dict[str, object], message: str
) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    path = tmp_path / "b" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"input": INPUT}))
    load_bundle(tmp_path / "b")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"input": INPUT | change}))
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", ["a\0b", "x" * 400, "pipe", ".", "gone.onnx"])
def test_model_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, manifest: Manifest, name: str) -> None:
    model = tiny_model()
    folder = tmp_path / "b"
    write_bundle(folder, manifest=bundle(manifest, model).model_copy(update={"model": name}), model=model)
    os.mkfifo(folder / "pipe")
    with pytest.raises(BundleError, match=r"(cannot read the bundle's model .* \(.+\)|is no file); copy the bundle again"):
        load_bundle(folder)


def test_missing_and_broken_bundles_are_named(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(BundleError, match=r"no bundle at .*knockguard protect"):
        load_bundle(tmp_path / "none")
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="no text file"):
        load_bundle(tmp_path)


def test_existing_folder_is_replaced_only_when_told_and_only_if_it_is_a_bundle(tmp_path: Path, manifest: Manifest) -> None:
    model = tiny_model()
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    with pytest.raises(BundleError, match="or force"):
        write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model)
    write_bundle(tmp_path / "b", manifest=bundle(manifest, model), model=model, force=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(BundleError, match="is no bundle and is not replaced"):
        write_bundle(tmp_path / "photos", manifest=bundle(manifest, model), model=model, force=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


CUT_OFF = """
import os, signal, sys
from pathlib import Path
from guard.bundle import load_bundle, write_bundle

folder, nth, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
bundle = load_bundle(folder)
renames = 0

def hook(event, _):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == nth:
            if way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt if way == "interrupt" else PermissionError("no")

sys.addaudithook(hook)
write_bundle(folder, manifest=bundle.manifest.model_copy(update={"version": "9"}), model=bundle.model, force=True)
"""


@pytest.mark.parametrize("way", ["interrupt", "error", "kill"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_replacement_that_is_cut_off_loses_no_bundle(tmp_path: Path, manifest: Manifest, nth: int, way: str) -> None:
    folder, model = tmp_path / "b[1]", tiny_model()
    write_bundle(folder, manifest=bundle(manifest, model), model=model)
    done = subprocess.run([sys.executable, "-c", CUT_OFF, folder, str(nth), way], capture_output=True, check=False, text=True)
    if nth == 3:  # there are two renames: aside, and into place
        assert (done.returncode, done.stderr) == (0, "")
        assert load_bundle(folder).manifest.version == "9"
    elif way == "kill" and nth == 2:
        with pytest.raises(BundleError, match=r"cut off: move .*/\.b\[1\]-old-.*/replaced there") as told:
            load_bundle(folder)
        Path(re.search("move (.*) there", str(told.value))[1]).rename(folder)  # type: ignore[index]  # matched above
        assert load_bundle(folder).manifest.version == "1"
        return
    else:
        assert done.returncode != 0
        assert load_bundle(folder).manifest.version == "1"
    if way != "kill" or nth == 3:
        assert [p.name for p in tmp_path.iterdir()] == ["b[1]"]


@pytest.mark.parametrize(
    "content", [b"not onnx at all", b"\x3a\xff\xff\xff\xff\x0f", b"\x80" * 12, b"\x08", b"\xea\x80\x80\x80\x10\x00", b"\x02\x00"]
)
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        external_files(content)
