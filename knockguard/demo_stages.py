"""The demo's stages, each computed once and kept: images, victim, bundle, one attack a policy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import torch

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Pool
from evaluation.attacks.registry import ATTACKS
from evaluation.bootstrap import accuracy_interval, recovery_interval
from evaluation.metrics import answer_counts, balanced_accuracy, by_class, fidelity, hits, mean_by_class, net_recovery, recovery
from evaluation.models import architecture, build
from evaluation.photographs import (
    ADVERSARY_VARIETY,
    DETECTOR_VARIETY,
    PLAIN_VARIETY,
    adversary_photographs,
    crops,
    detector_photographs,
    small_photographs,
)
from evaluation.replay import Budget
from evaluation.results import PolicyResult
from evaluation.satellite import SIDE, ZONES, Satellite, load_satellite
from evaluation.surrogate import Student, copy_side_by_side
from evaluation.training import Training, predict, train
from evaluation.transfer import TransferSet
from exporters.graph import load_graph
from exporters.taps import find_taps
from exporters.torch_export import export_victim
from grpc_api.cores import n_cores
from guard.bundle import InputSpec
from guard.preprocess import to_inputs
from guard.types import Array, Floats, Ints, Pixels, Reporter
from knockguard.demo_clients import Scene, play
from knockguard.protect import Material, Plan, Protected, protect
from knockguard.store import Store

# policy -> who gets its answers. Label-only is an API that answers so to everybody (Atli et al., table 7).
POLICIES: Mapping[str, str] = {"observe": "flagged", "label-only": "all", "shuffle": "flagged"}
MODEL = "climate-zones"
SPEC = InputSpec(name="image", shape=(3, SIDE, SIDE), layout="NCHW", scale=1 / 255)
DETECTORS = ("two-sided", "linear", "energy", "msp")  # the first decides


_VICTIM_TRAINING = Training(epochs=12, upside_down=True)
_STUDENT = Student("cnn-small", Training(epochs=48, upside_down=True))


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is.

    `n_queries` is the headline's budget; copies are also trained at the other budgets of `curve`, `n_copies` at each, since one
    copy's luck is large. The detector was chosen on photographs held out of its own, not on the copier's.
    """

    victim: str = "cnn-wide"
    victim_training: Training = _VICTIM_TRAINING
    max_per_zone: int = 800  # patches that the victim, and the detector, learn from
    n_detector_crops: int = 10_000
    student: Student = _STUDENT
    n_pool: int = 4_000
    n_queries: int = 2_000
    n_copies: int = 3
    curve: tuple[int, ...] = (500, 2_000)
    target_fpr: float = 0.05


@dataclass(frozen=True, slots=True)
class Images:
    """The victim's splits, the detector's out crops, and the adversary's pool (half of it only tests the detector)."""

    inside: Satellite
    out_fit: Pixels
    pool: Pixels
    pool_photographs: Ints  # (n,), which photograph each image of the pool is a crop of


@dataclass(frozen=True, slots=True)
class Victim:
    """The exported model, and what PyTorch's own says of the test images."""

    onnx: Path
    test_logits: Floats


class Demo:
    """Each method is one stage; its result depends on the seed, the scale, our code and the stages before it."""

    def __init__(self, folder: Path, store: Store, seed: int, scale: Scale) -> None:
        self.folder = folder
        self.seed = seed
        self.scale = scale
        self._store = store
        # Networks this small gain little from a second thread, and lose much when anything else wants the core: one is
        # 3,700 images a second always, two are 760 to 6,400.
        torch.set_num_threads(1)
        self._base = store.fingerprint(seed, scale)
        self.reused: list[str] = []  # what an earlier run had finished

    def images(self, progress: Reporter) -> Images:
        """Cut everything that is needed; from packages, so it is done anew each time."""
        inside = load_satellite(seed=self.seed, max_per_zone=self.scale.max_per_zone)
        progress(1, 3)
        out_fit = self._crops("detector", self.scale.n_detector_crops, _detector_crops)
        progress(2, 3)
        theirs = adversary_photographs()
        pool = self._crops(
            "adversary", self.scale.n_pool, lambda n, seed: crops(theirs, n, variety=ADVERSARY_VARIETY, seed=[seed])
        )
        progress(3, 3)
        return Images(inside, out_fit, pool, np.arange(len(pool)) % len(theirs))  # `crops` takes the photographs in turn

    def _crops(self, whose: str, n: int, make: Callable[[int, int], Pixels]) -> Pixels:
        """Return what an earlier run left of these crops, or what `make` makes of their number and the seed."""
        key = self._store.fingerprint(self.seed, whose, n)
        if (kept := self._kept(f"crops-{whose}", key)) is not None:
            return np.asarray(kept["pixels"])
        pixels = make(n, self.seed)
        self._store.save(f"crops-{whose}", key, {"pixels": pixels})
        return pixels

    def victim(self, images: Images, progress: Reporter) -> Victim:
        """Train and export, with parity checked on real images."""
        path = self.folder / "victim.onnx"
        if path.exists() and (kept := self._kept("victim", self._store.fingerprint(self._base, path.read_bytes()))) is not None:
            return Victim(path, kept["test_logits"])
        chosen = architecture(self.scale.victim)
        model = build(self.scale.victim, n_classes=len(ZONES), seed=self.seed)
        split = images.inside.victim
        train(model, split.pixels, split.labels, training=self.scale.victim_training, seed=self.seed, progress=progress)
        export_victim(model, path, sample=to_inputs(images.inside.calibration.pixels[:64], SPEC), stages=chosen.stages)
        logits = predict(model, images.inside.test.pixels)
        self._store.save("victim", self._store.fingerprint(self._base, path.read_bytes()), {"test_logits": logits})
        return Victim(path, logits)

    def protect(self, images: Images, victim: Victim, progress: Reporter) -> Protected:
        """Put detectors into the victim, calibrate, test, write the bundle."""
        graph = load_graph(victim.onnx)
        inside = images.inside
        material = Material(
            # The victim's own training patches too: the more of the Earth, the fewer strangers among customers.
            in_fit=_mirrored(np.concatenate([inside.detector.pixels, inside.victim.pixels]), self.seed),
            out_fit=images.out_fit,
            calibration={"as_sent": inside.calibration.pixels},
            in_test=inside.test.pixels,
            out_test=images.pool,
        )
        plan = Plan(SPEC, MODEL, ZONES, detectors=DETECTORS, target_fpr=self.scale.target_fpr)
        protected = protect(graph, find_taps(graph), material, plan, original=victim.onnx, progress=progress)
        protected.write(self.folder / "bundle", force=True)
        return protected

    def attack(self, policy: str, images: Images, victim: Victim, protected: Protected, progress: Reporter) -> PolicyResult:
        """Serve the bundle under one policy, send benign traffic, let a new client ask, and train its copy."""
        test = images.inside.test
        labels, groups = test.labels, test.strips
        key = self._store.fingerprint(self._base, policy, POLICIES[policy], protected.manifest.sha256)
        if (kept := self._kept(f"attack-{policy}", key)) is not None:
            return PolicyResult.model_validate_json(str(kept["result"]))
        with TemporaryDirectory(prefix=".attack-", dir=self.folder) as scratch:
            asked = play(self._scene(policy, images), Path(scratch), log=self.folder / "gateway.log", progress=progress)
        accuracy, chance = balanced_accuracy(victim.test_logits, labels), 1 / len(ZONES)
        copies = self._copies(asked.stolen, images, progress)
        accuracies = {n: [balanced_accuracy(logits, labels) for logits in c] for n, c in copies.items()}
        recoveries = {n: tuple(recovery(a, accuracy) for a in c) for n, c in accuracies.items()}
        copied = fmean(accuracies[self.scale.n_queries])
        right = np.mean([hits(logits, labels) for logits in copies[self.scale.n_queries]], axis=0)
        result = PolicyResult(
            policy=policy,
            apply_to=POLICIES[policy],
            surrogate_accuracy=copied,
            recovery=recovery(copied, accuracy),
            recovery_interval=recovery_interval(right, hits(victim.test_logits, labels), labels, seed=self.seed, groups=groups),
            net_recovery=net_recovery(copied, accuracy, chance=chance),
            fidelity=fmean(fidelity(logits, victim.test_logits) for logits in copies[self.scale.n_queries]),
            queries=self.scale.n_queries,
            flagged=asked.flagged,
            benign_accuracy=balanced_accuracy(asked.benign, labels),
            benign_interval=accuracy_interval(hits(asked.benign, labels), labels, seed=self.seed, groups=groups),
            benign_flagged=asked.benign_flagged,
            benign_n=len(asked.benign),
            budget_curve=tuple((n, fmean(r)) for n, r in recoveries.items()),
            curve_copies=tuple(recoveries.values()),
            answers=answer_counts(asked.stolen.first(self.scale.n_queries).answers),
            recalls=mean_by_class([by_class(logits, labels) for logits in copies[self.scale.n_queries]]),
        )
        self._store.save(f"attack-{policy}", key, {"result": np.array(result.model_dump_json())})
        return result

    def _scene(self, policy: str, images: Images) -> Scene:
        return Scene(
            bundle=self.folder / "bundle",
            model=MODEL,
            policy=policy,
            apply_to=POLICIES[policy],
            customer=images.inside.test.pixels,
            attack=ATTACKS.get("knockoff")(),
            pool=Pool(images.pool),
            budgets=tuple(Budget(n) for n in (self.scale.n_queries, max(self.scale.curve))),
            seed=self.seed,
        )

    def _copies(self, stolen: TransferSet, images: Images, progress: Reporter) -> dict[int, list[Floats]]:
        """Train surrogates on the first so many answers; return their logits on the victim's test images, by budget."""
        plan = [(n, number) for n in self.scale.curve for number in range(self.scale.n_copies)]
        copies = copy_side_by_side(
            [(stolen.first(n), self.seed + 1 + number) for n, number in plan],
            adversary=ADVERSARIES.get("soft")(),
            student=self.scale.student,
            n_at_once=n_cores(),
            progress=progress,
        )
        logits: dict[int, list[Floats]] = {n: [] for n in self.scale.curve}
        for (n, _), model in zip(plan, copies, strict=True):
            logits[n].append(predict(model, images.inside.test.pixels))
        return logits

    def _kept(self, stage: str, key: str) -> dict[str, Array] | None:
        """Return what an earlier run left of a stage, and remember that it was reused."""
        if (kept := self._store.load(stage, key)) is not None:
            self.reused.append(stage)
        return kept


def _detector_crops(n: int, seed: int) -> Pixels:
    """Cut what a detector learns from; a third of it plain: what is flagged must not hang on turned hues and joints."""
    large, small = detector_photographs(), small_photographs()
    plan = ((large, 4, DETECTOR_VARIETY), (large, 2, PLAIN_VARIETY), (small, 2, DETECTOR_VARIETY), (small, 1, PLAIN_VARIETY))
    parts = [
        crops(photographs, n * ninths // 9, variety=variety, seed=[seed, part])
        for part, (photographs, ninths, variety) in enumerate(plan)
    ]
    return np.concatenate(parts)


def _mirrored(pixels: Pixels, seed: int) -> Pixels:
    """Mirror half of them each way: the Earth has no up, mirrored patches are patches."""
    rng, turned = np.random.default_rng(seed), pixels.copy()
    upside_down, sideways = rng.random((2, len(pixels))) < 0.5
    turned[upside_down] = turned[upside_down, ::-1]
    turned[sideways] = turned[sideways][:, :, ::-1]
    return turned
