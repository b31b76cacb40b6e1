"""`knockguard protect`: files in, bundle out, and every refusal with its way out."""

import json
import shutil
import signal
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from miniature import Done, InProcess, Miniature, call, discs, heard, listing, save, stripes
from onnx import TensorProto, helper

from exporters.graph import load_graph
from exporters.taps import find_taps
from guard.bundle import load_bundle
from guard.detectors.registry import DETECTORS
from guard.guard import Guard
from guard.policies.observe import Observe
from guard.seen import read_seen
from guard.types import ApplyTo

RESNET_SIDE = 64


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 as the words in every tutorial write it: one image fixed, weights in a file beside."""
    path = tmp_path_factory.mktemp("resnet") / "resnet18.onnx"
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.manual_seed(5)
        model = torchvision.models.resnet18(num_classes=10).eval()
        torch.onnx.export(model, (torch.rand(1, 3, RESNET_SIDE, RESNET_SIDE),), path, verbose=False)
    return path


def test_resnet_that_plain_pytorch_exported_is_protected_and_answers_as_before(resnet: Path, tmp_path: Path) -> None:
    inside = save(discs(340, seed=3, side=72)[0], tmp_path / "in", suffix="jpg")
    outside = save(stripes(150, seed=4, side=80), tmp_path / "out", ("a", "b", "c", "d", "e"))
    done = call("protect", resnet, "--in", inside, "--out-pool", outside, "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.manifest.name, bundle.manifest.input.shape) == ("resnet18", (3, RESNET_SIDE, RESNET_SIDE))
    taps = [line.split() for line in done.err.splitlines() if line.startswith("stage")]
    assert [(t[0], " ".join(t[1:-1])) for t in taps] == [
        ("stage1", "64 x 32 x 32"), ("stage2", "64 x 16 x 16"), ("stage3", "128 x 8 x 8"), ("stage4", "256 x 4 x 4"),
        ("stage5", "512 x 2 x 2"),
    ]  # fmt: skip
    assert {t[0]: t[-1] for t in taps} == bundle.manifest.provenance.stages

    inputs = np.random.default_rng(0).random((9, 3, RESNET_SIDE, RESNET_SIDE), np.float32)
    victim = ort.InferenceSession(str(resnet), providers=["CPUExecutionProvider"])
    name = victim.get_inputs()[0].name
    logits = np.concatenate([victim.run(None, {name: row[None]})[0] for row in inputs])
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    fused = ort.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
    probabilities, scores = fused.run(["probabilities", "scores"], {name: inputs})
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-5, rtol=0)
    assert scores.shape == (9, 3)


def test_bundle_starts_in_observe_and_accounts_for_every_image(bundle: Path, miniature: Miniature) -> None:
    manifest = load_bundle(bundle).manifest
    assert (manifest.name, manifest.version, manifest.policy.name) == ("discs", "7", "observe")
    assert (manifest.detector, manifest.labels) == ("linear-late", ("class_0", "class_1", "class_2"))
    images = manifest.provenance.images
    assert images["in_fit"] // 2 + images["calibration_as_sent"] + images["in_test"] == 420  # each that fits is seen two ways
    assert images["out_fit"] // 2 + images["out_test"] == 300
    assert images["calibration_as_sent"] == images["calibration_reencoded"]
    seen = read_seen(bundle, manifest.provenance.seen)
    assert seen is not None
    assert len(seen.hashes) == images["in_fit"] // 2 + images["calibration_as_sent"] + images["out_fit"] // 2
    assert (bundle / "seen.bin").stat().st_size == 8 * len(seen.hashes)
    sources = [[sha256(p.read_bytes()).digest() in seen for p in f.rglob("*.png")] for f in (miniature.inside, miniature.outside)]
    assert [len(found) - sum(found) for found in sources] == [images["in_test"], images["out_test"]]


def test_json_is_one_document_and_all_that_stdout_holds(protected_by_command: tuple[Done, Path]) -> None:
    done, folder = protected_by_command
    document = json.loads(done.out)
    assert document["bundle"] == str(folder)
    rates = {d["name"]: d for d in document["detectors"]}
    assert list(rates) == ["linear-late", "energy", "msp", "low-level statistics"]
    assert rates["linear-late"]["tpr"] > 0.9
    allowed = int(
        rates["linear-late"]["fpr"] * rates["linear-late"]["n_in"] + 1e-9
    )  # the baseline stands where the detector does
    assert round(rates["low-level statistics"]["fpr"] * rates["low-level statistics"]["n_in"]) <= allowed
    assert rates["linear-late"]["n_out"] == load_bundle(folder).manifest.provenance.images["out_test"]


def test_chosen_chain_is_said_and_recorded_with_what_the_baseline_has_left(protected_by_command: tuple[Done, Path]) -> None:
    done, folder = protected_by_command
    matched = load_bundle(folder).manifest.provenance.matched
    assert matched is not None
    assert matched.source_px == 24 > matched.side_px
    assert f"reduced to 24 px ({matched.kernel}) where larger, then to {matched.side_px} px, JPEG 70 to 95" in done.words
    assert f"flag {matched.baseline_tpr:.3f} of out (n={matched.n_out}) at {matched.baseline_fpr:.3f} of in" in done.words
    assert json.loads(done.out)["matched"] == matched.model_dump(mode="json")


def test_last_line_is_the_next_command_in_one_piece(protected_by_command: tuple[Done, Path]) -> None:
    done, folder = protected_by_command
    assert done.err.splitlines()[-1].endswith(f"Next: knockguard serve {folder}")


def test_choices_reach_the_bundle(miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    (tmp_path / "labels").write_text("red\ngreen\nblue\n")
    given = ["--detector", "energy", "--labels", tmp_path / "labels", "--target-fpr", "0.1", "--scale", "imagenet"]
    done = knockguard(*miniature.words(tmp_path / "[bundle]", *given, "--stage", "stage1=stage4"))
    assert done.code == 0, done.err
    manifest = load_bundle(tmp_path / "[bundle]").manifest
    assert (manifest.detector, manifest.labels) == ("energy", ("red", "green", "blue"))
    assert [d.name for d in manifest.detectors] == ["energy", "linear-late", "msp"]  # of one stage as well
    assert {d.threshold.target_fpr for d in manifest.detectors} == {0.1}
    assert (manifest.input.scale, manifest.input.mean) == (1 / 255, (0.485, 0.456, 0.406))
    assert manifest.provenance.stages == {"stage1": "stage4"}
    assert "[bundle]" in done.err, "a folder's name was taken for markup"


def test_options_reach_their_detector(bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    done = knockguard(
        *miniature.words(tmp_path / "bundle", "--set", "linear-late.strength=10", "--set", "energy.temperature=2.5")
    )
    assert done.code == 0, done.err
    changed, plain = (load_bundle(folder).manifest for folder in (tmp_path / "bundle", bundle))
    differ = [a.name for a, b in zip(changed.detectors, plain.detectors, strict=True) if a.threshold.value != b.threshold.value]
    assert differ == ["linear-late", "energy"]
    assert changed.provenance.options == {"linear-late": {"strength": 10.0}, "energy": {"temperature": 2.5}, "msp": {}}


def test_thresholds_of_each_class_are_served(miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    done = knockguard(*miniature.words(tmp_path / "bundle", "--per-class", "--target-fpr", "0.2"))
    assert done.code == 0, done.err
    bundle = load_bundle(tmp_path / "bundle")
    threshold = bundle.manifest.detectors[0].threshold
    assert threshold.per_class is not None
    assert len(set(threshold.per_class)) == 3
    guard = Guard(bundle.manifest, Observe(), apply_to=ApplyTo.FLAGGED)
    between = (min(threshold.per_class) + max(threshold.per_class)) / 2
    decided = guard.decide(np.eye(3, dtype=np.float32), np.full((3, 3), between, np.float32))
    assert decided.flagged.tolist() == [own < between for own in threshold.per_class]
    few = knockguard(*miniature.words(tmp_path / "few", "--per-class"))
    assert (few.code, "for each of 3 classes: 270 are needed" in few.words) == (3, True)


def test_synthetic_pool_protects_without_a_public_one(miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    words = miniature.words(tmp_path / "bundle", "--json")
    words[words.index(miniature.outside)] = "synthetic"
    done = knockguard(*words)
    assert done.code == 0, done.err
    assert "Audit with public images" in done.words
    images = load_bundle(tmp_path / "bundle").manifest.provenance.images
    assert (images["out_fit"], images["out_test"]) == (2 * 294, 126)
    linear = json.loads(done.out)["detectors"][0]
    assert linear["tpr"] > 0.3, "kinds that it has not seen are hardly flagged at all"


def test_same_words_make_the_same_model(bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    assert knockguard(*miniature.words(tmp_path / "again")).code == 0
    assert load_bundle(tmp_path / "again").model == load_bundle(bundle).model


def without_dense_layer(path: Path, *, channels: int = 3) -> None:
    """As SqueezeNet ends: a convolution makes the classes, and the mean over places is the answer."""
    weights = np.random.default_rng(0).normal(size=(3, channels, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["places"]),
        helper.make_node("GlobalAveragePool", ["places"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["y"]),
    ]
    kinds = (("x", TensorProto.FLOAT, ["n", channels, 24, 24]), ("y", TensorProto.FLOAT, None))
    ends = [helper.make_tensor_value_info(*kind) for kind in kinds]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [onnx.numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())


def write_tables(folder: Path, good: list[dict[str, bytes]]) -> None:
    """Write tables whose row 99 is broken, each in its own way, and an empty one."""
    kind = pa.struct({"bytes": pa.binary()})
    for name, cell in (("null", None), ("hollow", {"bytes": None}), ("cut", {"bytes": good[99]["bytes"][:-40]})):
        pq.write_table(pa.table({"image": pa.array([*good[:99], cell, *good[100:]], kind)}), folder / f"{name}.parquet")
    pq.write_table(pa.table({"image": pa.array([], kind)}), folder / "empty.parquet")


@pytest.fixture(scope="session")
def wrong(miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Things to give that are wrong, in a folder that no command may change."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty").mkdir()
    (folder / "words.onnx").write_text("not a model\n" * 50)
    shutil.copytree(miniature.inside, folder / "one_bad")
    (folder / "one_bad" / "0007.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    save(discs(40, seed=5)[0], folder / "few")
    save(discs(60, seed=5, side=10)[0], folder / "thumbnails")
    (folder / "two.txt").write_text("cat\ndog\n")
    good = [{"bytes": path.read_bytes()} for path in sorted(miniature.inside.iterdir())]
    write_tables(folder, good)
    without_dense_layer(folder / "no_dense.onnx")
    without_dense_layer(folder / "grey.onnx", channels=1)
    without_dense_layer(folder / "alpha.onnx", channels=4)
    return {"victim": miniature.onnx, "in": miniature.inside, "out": miniature.outside, "wrong": folder}


READ_PENULTIMATE = [name for name in DETECTORS if "penultimate" in DETECTORS.get(name).taps]
IN, OUT = ["--in", "{in}"], ["--out-pool", "{out}"]
GOOD = ["{victim}", *IN, *OUT]
BAD: dict[str, tuple[list[str], int, list[str]]] = {
    "no model": (["{wrong}/gone.onnx", *IN, *OUT], 3, ["gone.onnx", "No such file"]),
    "not a model": (["{wrong}/words.onnx", *IN, *OUT], 3, ["words.onnx", "not an ONNX file", "export it again"]),
    "grey": (["{wrong}/grey.onnx", *IN, *OUT], 3, ["'x' has 1 channels", "fed as RGB"]),
    "alpha": (["{wrong}/alpha.onnx", *IN, *OUT], 3, ["'x' has 4 channels", "fed as RGB"]),
    "in empty": (["{victim}", "--in", "{wrong}/empty", *OUT], 3, ["empty holds no image", ".jpg"]),
    "in gone": (["{victim}", "--in", "{wrong}/gone", *OUT], 3, ["gone is neither a folder of images nor a"]),
    "in unreadable": (["{victim}", "--in", "{wrong}/one_bad", *OUT], 3, ["one_bad/0007.png", "an image that can be read"]),
    "in null": (["{victim}", "--in", "{wrong}/null.parquet", *OUT], 3, ["null.parquet row 99 holds no image bytes"]),
    "in hollow": (["{victim}", "--in", "{wrong}/hollow.parquet", *OUT], 3, ["hollow.parquet row 99 holds no image bytes"]),
    "in cut": (["{victim}", "--in", "{wrong}/cut.parquet", *OUT], 3, ["cut.parquet row 99 cannot be decoded"]),
    "out empty": (["{victim}", *IN, "--out-pool", "{wrong}/empty.parquet"], 3, ["empty.parquet holds no image: it has 0 rows"]),
    "in few": (["{victim}", "--in", "{wrong}/few", *OUT], 3, ["few: ", "at least 50 are needed", "there are 40 in all"]),
    "out few": (["{victim}", *IN, "--out-pool", "{wrong}/few"], 3, ["few: ", "at least 50 are needed"]),
    "out small": (["{victim}", *IN, "--out-pool", "{wrong}/thumbnails"], 3, ["thumbnails", "at least"]),
    "strict": ([*GOOD, "--target-fpr", "0.001"], 3, ["a false-positive rate of 0.001", "4603 are needed", "and --limit 1"]),
    "one source": (["{victim}", *IN, "--out-pool", "{in}"], 3, ["420 of the 420 images", "take them out of one of the two"]),
    "no share": ([*GOOD, "--target-fpr", "5"], 3, ["target_fpr is 5", "between 0 and 1"]),
    "detector": ([*GOOD, "--detector", "energi"], 2, ["'energi'", "did you mean 'energy'"]),
    **{
        f"no penultimate, {name}": (
            ["{wrong}/no_dense.onnx", *IN, *OUT, "--detector", name],
            2,
            [f"--detector {name}: the graph has no penultimate", "--stage penultimate=TENSOR", "choose msp"],
        )
        for name in READ_PENULTIMATE
    },
    "labels": ([*GOOD, "--labels", "{wrong}/two.txt"], 2, ["two.txt has 2 lines and the model has 3 classes"]),
    "labels gone": ([*GOOD, "--labels", "{wrong}/gone.txt"], 2, ["cannot read --labels", "gone.txt"]),
    "stage form": ([*GOOD, "--stage", "stage1"], 2, ["--stage 'stage1'", "NAME=TENSOR"]),
    "stage tensor": ([*GOOD, "--stage", "stage1=stag4"], 3, ["no float tensor 'stag4'", "did you mean 'stage4'"]),
    "stage name": ([*GOOD, "--stage", "stag1=stage4"], 3, ["no tap is called 'stag1'", "did you mean 'stage1'"]),
    "scale": ([*GOOD, "--scale", "imagnet"], 2, ["--scale 'imagnet'", "did you mean 'imagenet'"]),
    "name": ([*GOOD, "--name", "my model"], 2, ["name is 'my model'", "--name"]),
    "version": ([*GOOD, "--version", "v2"], 2, ["version is 'v2'", "a whole number", "--version"]),
    "setting form": ([*GOOD, "--set", "strength=1"], 2, ["--set 'strength=1'", "DETECTOR.OPTION=VALUE"]),
    "setting detector": ([*GOOD, "--set", "linaer-late.strength=1"], 2, ["detector 'linaer-late'", "did you mean 'linear-late'"]),
    "setting not fused": ([*GOOD, "--set", "knn.k=3"], 2, ["detector 'knn', which is not among these", "energy, linear-late"]),
    "setting name": ([*GOOD, "--set", "linear-late.strenght=1"], 2, ["no option 'strenght'", "did you mean 'strength'"]),
    "setting type": ([*GOOD, "--set", "linear-late.strength=x"], 2, ["detector 'linear-late': strength", "valid number", "'x'"]),
    "setting value": ([*GOOD, "--set", "linear-late.strength=-1"], 2, ["strength is -1.0", "greater than 0"]),
    "limit": ([*GOOD, "--limit", "10"], 2, ["--limit", "200"]),
    "option": ([*GOOD, "--detecter", "msp"], 2, ["--detecter", "--detector"]),
}  # fmt: skip
NEED_NO_IMAGE = {name for name in BAD if name.startswith(("no penultimate", "setting"))} | {
    "no share",
    "grey",
    "alpha",
    "detector",
    "labels",
    "labels gone",
    "stage form",
    "stage tensor",
    "scale",
    "name",
    "version",
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_protected_is_refused_with_the_way_out(
    case: str, wrong: dict[str, Path], tmp_path: Path, knockguard: InProcess
) -> None:
    given, code, pieces = BAD[case]
    before = listing(wrong["wrong"])
    done = knockguard("protect", *(word.format(**wrong) for word in given), "-o", tmp_path / "bundle")
    assert done.code == code, done.err
    assert [piece for piece in pieces if piece not in done.words] == [], done.words
    assert ("Traceback" in done.err, done.out) == (False, "")
    assert (listing(tmp_path), listing(wrong["wrong"])) == (set(), before), "something half-written stayed"
    assert "[4/5]" not in done.err, "refused only after the long work"
    assert case != "strict" or "[2/5]" not in done.err, "refused only after the out pool was read"
    if case in NEED_NO_IMAGE:
        assert "[1/5]" not in done.err, "refused only after images were read"


def test_what_stands_there_is_replaced_by_force_alone_and_only_a_bundle(
    bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    refused = knockguard(*miniature.words(tmp_path / "bundle"))
    assert (refused.code, "force to replace" in refused.words) == (3, True)
    assert load_bundle(tmp_path / "bundle").manifest.version == "7"
    assert knockguard(*miniature.words(tmp_path / "bundle", "--force")).code == 0
    assert load_bundle(tmp_path / "bundle").manifest.version == "1"

    save(discs(1, seed=0)[0], tmp_path / "photographs")
    (tmp_path / "file").write_text("mine")
    for taken, code, why in (("photographs", 3, "is no bundle"), ("file", 2, "is a file")):
        refused = knockguard(*miniature.words(tmp_path / taken, "--force"))
        assert (refused.code, why in refused.words) == (code, True)
        assert "[1/5]" not in refused.err, "refused only after images were read"
    assert listing(tmp_path) == {
        "bundle",
        "bundle/bundle.json",
        "bundle/model.onnx",
        "bundle/seen.bin",
        "file",
        "photographs",
        "photographs/0000.png",
    }


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_in_the_middle_leaves_nothing(sent: signal.Signals, miniature: Miniature, tmp_path: Path) -> None:
    with heard(miniature.words(tmp_path / "bundle"), until="[2/5]") as process:
        process.send_signal(sent)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert listing(tmp_path) == set()


def test_answers_that_are_not_the_models_output_are_said_to_be_so(
    miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    features = find_taps(load_graph(miniature.onnx)).penultimate
    done = knockguard(*miniature.words(tmp_path / "bundle", "--detector", "msp", "--stage", f"logits={features}"))
    assert done.code == 0, done.err
    assert f"answers with {features!r}, as you said, and not with the model's output 'logits'" in done.words
    assert "which has another number of classes" in done.words


def test_images_are_forgotten_if_that_is_asked_for(miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    done = knockguard(*miniature.words(tmp_path / "bundle", "--forget-images", "--limit", "400"))
    assert done.code == 0, done.err
    assert load_bundle(tmp_path / "bundle").manifest.provenance.seen is None
    assert listing(tmp_path / "bundle") == {"bundle.json", "model.onnx"}
