"""Write the page of detection results: `python docs/results_detection.py`; with --check only compare.

Reads docs/results/detection-*.json, each the study.json of `knockguard study experiments/cpu/detection-*.toml`, and writes
docs/results-detection.md. No figure in its tables is typed by hand.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kept_page import keep

from evaluation.detection_study import AS_THEY_COME, BASELINE, MATCHED, Study, VictimStudy, pools_of, read_study
from evaluation.detection_words import gap_of, markdown, short
from evaluation.markdown import grid

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results", FOLDER / "results-detection.md"

INTRODUCTION = """\
# Detection on CIFAR10, GTSRB and Caltech101

What detectors see of out images once file format earns them nothing. Made by

    knockguard study experiments/cpu/detection-cifar10.toml --data DATA -o OUT     # and -gtsrb, -caltech101, -pretrained
    python docs/results_detection.py                                             # after copying OUT/study.json to docs/results/

How to read it:

- **Out pools.** Detectors learn from Tiny ImageNet classes that no test image has. *near* are other Tiny ImageNet classes of
  animals, *far* of objects, *second* is another source (ImageNet samples) without the classes that the detector knows. What is
  of the victim's own kind (for CIFAR10 dogs, cats, birds, frogs, cars, ...: `own_kinds` in `detection.toml`) is in no pool.
- **Matched chain.** Both sides get one history before anything is fitted, calibrated or tested: the larger images are reduced
  to the smaller source's size by the filter that leaves the least to the baseline, through that source's JPEG quality; then
  both are reduced further, through JPEG 70 to 95, and enlarged to the model's size. Filter and side are chosen on fitting
  images.
- **Baseline.** Spectrum, block borders and residuals of the grey image, which know nothing of content, read by a plane, by a
  plane through their squares too, and by boosted trees. Each is cross-fitted on the very pool that it is tested on, which no
  detector has seen, and the reader that flags most counts. It stands at the false-positive rate of the detector beside it.
- **Intervals** are 95 %, and of what is flagged of out images they are over *classes*: the next thief's pool has other ones, and
  one class is seen far better than another. By images alone they would be half as wide. GTSRB's in images are counted by track.
- **Margin.** TPR less the baseline's on the same images. Its interval is the bootstrap's over both sides, in which the baseline's
  threshold is read off anew each time.
- **Lookalikes.** The out images among which the baseline's score is spread as among in images: what is flagged there, is
  flagged for its content. A dash where fewer than 50 were found.
- **varied.** The same detector, fitted on both sides under many filters, sizes and JPEG qualities.
- **The paper's detectors** are here small: `frozen-lr` reads an EfficientNet-Lite0 of ImageNet at 64 pixels, `scratch` is a
  ResNet-18 that has seen its images once. The paper has ResNet-101 at 224 pixels, and 200 epochs.
- Thresholds hold their false-positive rate with 99 % confidence over calibration images that neither fitted nor test, where these
  are independent; the FPR column shows what came of it. GTSRB's 3,180 are frames of 106 tracks. A target of 5 % takes 90
  independent draws, and one of 1 % takes 459, so that is not measured there, and the 99 % are not proved for the other.
- A detector here is fitted on one history, the world's own. A bundle of `protect` is fitted on both and takes the stricter of two
  thresholds: [audits](results-audit.md) are of such bundles.
- One seed each. Intervals are not over trainings. Queries were dressed up and searched for, but no copy was trained on them: how
  much a disguised query still teaches a thief is not measured here.
- The default, `linear-late`, was this page's from its first version on and `protect`'s from a later one, for one reason: early
  stages carry what codec and resampling leave behind. It was not chosen on these test images, though regressions on all and on
  late stages had been tried on these sets before. `linear` and `two-sided` do better here, and were not taken for that.
"""

VERDICT = """\
## What it says

- **The filter was the trace.** Reducing both sides by one filter to one side is not enough: CIFAR10 was made with another
  filter than a later reduction by boxes uses, and the baseline reads the difference (.72 of out images against .15, see the
  trials). As images come, the baseline flags up to .98 of them, on Caltech101 far more than any detector.
- **A weak baseline flatters.** Read by a plane alone, and at a stricter threshold than the detector's, these statistics
  flagged .04 of GTSRB's near pool; boosted trees at the detector's own rate flag .44. What was printed as a margin of .90 is
  .44.
- **CIFAR10: a small CNN's own features hold little to tell its images from other photographs.** For animals the margin may be
  nothing, where the next pool has other animals (+.06, -.00 to +.10); for objects it is modest (+.18), short of .3, and
  stands on lookalikes too, so it is content. Detectors that learn from in images alone (energy, MSP, Mahalanobis, k nearest
  neighbours, ViM), and ODIN, do no better than the baseline, or worse.
- **GTSRB: traffic signs are another kind of picture.** Every pool is told from them at .85 and more, and the baseline tells
  half of it, whatever the chain: signs have a spectrum of their own, which is not file format and yet not what they show. A
  thief who puts it on lowers the rate from .88 to .72, and one who puts on their colours to .62. Where the baseline sees
  nothing, on 58 lookalikes, .86 is flagged: that is content. A margin of .95 is not to be had against such a baseline, which
  leaves .5.
- **Caltech101: next to nothing.** The victim is right in .59 of its images, and its features tell .12 more objects than the
  baseline does, animals and the second source hardly more. Photographs of objects are told from photographs of objects by who
  learned them.
- **A better victim is a better detector.** With ImageNet's weights and 64 pixels the same regression flags .40 of the objects on
  CIFAR10 (margin +.26), .99 of everything on GTSRB, and .25 of the objects on Caltech101 (+.17). Animals stay hard on CIFAR10
  (+.08). The ambitions of .3 near CIFAR10 and .5 on Caltech101 are missed by these as well.
- **The paper's kind of detector does no better.** A frozen ImageNet network with a regression has a mean margin of .04 on CIFAR10
  and Caltech101 and .43 on GTSRB, where the victim's own late stages have .13, .06 and .44 and cost no second network; beside
  pre-trained victims .06, .04 and .44, where these have .17, .11 and .43.
- **Stages.** On CIFAR10 and Caltech101 deeper stages tell more of content and read less of the resolution (.87 and .94 at the
  first stage, .69 and .68 at the last); on GTSRB all are alike. The codec is hardly read there (AUROC .50 to .57), on GTSRB a
  little (.57 to .67). The shallow half adds .03 to .05 of margin (`linear` beside `linear-late`), on lookalikes as well; it
  also reads most of what a thief changes by resizing, and for that the default leaves it out. `linear` and `two-sided` do
  better than the default on these sets, at a higher or the same price; to make one the default for that would be a choice on
  these test images.
- **Fitting under many histories did not pay:** margins fall, or stay on GTSRB, and honest sharp images are flagged more often
  on CIFAR10.
- **Dressing up works.** Half an in image blended in leaves .11 of .27 on CIFAR10 and .56 of .88 on GTSRB, a frame of one .06
  and .52, half of the area .11 and .32. A search of 200 scores within eight grey levels leaves .04 and .16 (n = 100), and .06
  and .25 for the same detector fitted otherwise, which was not searched. JPEG 40 takes nothing off the default on these two,
  and half the size and back two thirds on Caltech101.
- **Customers:** on CIFAR10 images at half the size and back are flagged at .12 and crops at .09, where .05 was the target; on
  Caltech101 whatever is sharp at .07 to .10, since the victim's images come larger than the chain leaves them; on GTSRB crops
  at .07.
"""


def page(studies: Sequence[Study]) -> str:
    """Return the whole page."""
    lines = [INTRODUCTION, "## In one table", "", *headline(studies), *best(studies)]
    lines.append(VERDICT)
    return "\n".join([*lines, *(markdown(study) for study in studies)]).rstrip() + "\n"


def headline(studies: Sequence[Study]) -> list[str]:
    """Return the default detector on every victim and pool: margin at both targets, and what the same looks like unmatched."""
    head = (
        "victim",
        "pool",
        "TPR",
        "FPR",
        "baseline",
        "margin",
        "on lookalikes (baseline)",
        "strict: TPR (baseline)",
        "as they come: TPR (baseline)",
    )
    body = []
    for study, victim, pool in _pools(studies):
        strict, target = study.targets[0], study.targets[-1]
        places = (MATCHED, target), (MATCHED, strict), (AS_THEY_COME, target)
        row, hard, plain = (victim.find(world, study.default, pool, t) for world, t in places)
        if row and plain:
            alike = "-"
            if row.lookalikes and row.lookalikes_baseline:
                alike = f"{short(row.lookalikes)} ({row.lookalikes_baseline.value:.2f})"
            body.append(
                (
                    victim.name,
                    pool,
                    short(row.measure.tpr),
                    f"{row.measure.fpr.value:.3f}",
                    f"{row.baseline.value:.2f}",
                    gap_of(row.margin),
                    alike,
                    f"{hard.measure.tpr.value:.2f} ({hard.baseline.value:.2f})" if hard else "-",
                    f"{plain.measure.tpr.value:.2f} ({plain.baseline.value:.2f})",
                )
            )
    target = studies[0].targets[-1]
    return [
        f"`{studies[0].default}` at a target of {target:.0%}; *strict* is {studies[0].targets[0]:.0%}.",
        "",
        *grid(head, body),
    ]


def best(studies: Sequence[Study]) -> list[str]:
    """Return each detector's margin, the mean over pools, by victim. Nothing is chosen by it: these are test images."""
    names = list(dict.fromkeys(row.detector for s in studies for v in s.victims for row in v.rows if row.world == MATCHED))
    victims = [(study, victim) for study in studies for victim in study.victims]
    body = []
    for name in names:
        if name == BASELINE:
            continue
        means = [_mean_margin(victim, name, study.targets[-1]) for study, victim in victims]
        known = [m for m in means if m is not None]
        cells = ["-" if m is None else f"{m:+.2f}" for m in means]
        body.append((min(known, default=0.0), (f"`{name}`", *cells, f"{min(known, default=0.0):+.2f}")))
    ordered = [cells for _, cells in sorted(body, key=lambda item: -item[0])]
    head = ("detector", *(victim.name for _, victim in victims), "worst victim")
    return ["Mean margin over the pools, by victim; the worst victim decides the order.", "", *grid(head, ordered)]


def _mean_margin(victim: VictimStudy, name: str, target: float) -> float | None:
    rows = (victim.find(MATCHED, name, pool, target) for pool in pools_of(victim))
    found = [row.margin.value for row in rows if row]
    return sum(found) / len(found) if found else None


def _pools(studies: Sequence[Study]) -> Iterator[tuple[Study, VictimStudy, str]]:
    for study in studies:
        for victim in study.victims:
            for pool in pools_of(victim):
                yield study, victim, pool


def _made() -> str:
    return page([read_study(path) for path in sorted(RESULTS.glob("detection-*.json"))])


if __name__ == "__main__":
    sys.exit(keep(PAGE, _made, script=Path(__file__).name, about=__doc__))
