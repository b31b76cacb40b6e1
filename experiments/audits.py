"""Protect a victim with a real and with a synthetic pool, and audit both bundles on four pools, by the commands that a user has.

    python experiments/audits.py [FILE.toml ...] --data DATA -o OUT     # by default cpu/cifar10.toml and cpu/gtsrb.toml

Trains a file's first victim, writes its images and the pools as folders of files, and runs `knockguard protect` and `knockguard
audit` on them. OUT/SET/with-POOL/audit/audit.json are the results, which docs/results_audit.py prints. What is done is not done
again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from evaluation.datasets import ImageSet
from evaluation.experiment_file import Experiment
from evaluation.experiment_reading import read_experiment
from evaluation.pools import load_pools
from guard.whole import write_whole
from knockguard.audit import RESULT
from knockguard.console import note
from knockguard.exits import ANSWER_IS_NO
from knockguard.study_victim import load_sides, served_victim

HERE = Path(__file__).parent
FILES = (HERE / "cpu" / "cifar10.toml", HERE / "cpu" / "gtsrb.toml")
SEED = 0
N_TEST = 3000  # of the in images and of each pool


def main() -> None:
    """Do it for each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    for path in given.files:
        experiment = read_experiment(path)
        folder = given.out / experiment.victims[0].set
        model, images = prepare(experiment, given.data, folder)
        for name, pool in (("real", images / "fit"), ("synthetic", Path("synthetic"))):
            protect_and_audit(model, images, pool, folder / f"with-{name}")


def prepare(experiment: Experiment, data: Path, folder: Path) -> tuple[Path, Path]:
    """Train the victim and write all images; return its .onnx file and the folder of images."""
    victim, model, images = experiment.victims[0], folder / "model.onnx", folder / "images"
    sides = load_sides(victim, data, seed=SEED)
    pools = load_pools(data, experiment.pool, seed=SEED).without(victim.own_kinds)
    write_whole(folder / "labels.txt", "".join(f"{name}\n" for name in sides.victim.classes).encode())
    for name, part in (("detector", sides.detector), ("calibration", sides.calibration)):
        write_images(part, images / "in", prefix=name)
    write_images(pools.detector.sample(experiment.pool.n_fit, seed=SEED), images / "fit")
    tests = {"test": sides.test, "near": pools.near, "far": pools.far, "second": pools.second}
    for name, test in tests.items():
        if test is not None:
            write_images(test.sample(N_TEST, seed=SEED), images / name)
    note(f"training {victim.name}, unless {model} is there")
    served_victim(victim, sides, model, fresh=False, seed=SEED, progress=lambda _done, _total: None)
    return model, images


def write_images(images: ImageSet, folder: Path, *, prefix: str = "image") -> None:
    """Write each image as the file that it is, in its class's folder."""
    for i, label in enumerate(images.labels):
        path = folder / images.classes[label] / f"{prefix}-{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_whole(path, images.encoded(i))


def protect_and_audit(model: Path, images: Path, pool: Path, folder: Path) -> None:
    """Run both commands, each unless its result is there."""
    bundle, audit = folder / "bundle", folder / "audit"
    if not bundle.exists():
        labels = model.with_name("labels.txt")
        run("protect", model, "--in", images / "in", "--out-pool", pool, "--labels", labels, "--limit", 20_000, "-o", bundle)
    if not (audit / RESULT).exists():
        out_pools = [images / name for name in ("near", "far", "second") if (images / name).exists()]
        pools = [word for each in (*out_pools, "synthetic") for word in ("--pool", each)]
        run("audit", bundle, "--in", images / "test", *pools, "--limit", N_TEST, "-o", audit)


def run(*words: object) -> None:
    """Run a command of knockguard's; a verdict of NO is a result like another."""
    command = [sys.executable, "-m", "knockguard", *map(str, words)]
    note(" ".join(command[2:]))
    if (code := subprocess.run(command, check=False).returncode) not in (0, ANSWER_IS_NO):
        sys.exit(code)


if __name__ == "__main__":
    main()
