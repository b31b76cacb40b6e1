"""The audit's page and words: each verdict where the figures ask for it, and what comes from outside is escaped."""

import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.artefacts import Example
from evaluation.audit_document import document
from evaluation.audit_page import page
from evaluation.audit_results import Audit, DistanceBin, PoolAudit, Shown
from evaluation.audit_words import benign_hurt, headline, judged, markdown, passed, verdict
from evaluation.detection import Measure
from guard.benign import BENIGN
from guard.rate import Rate


def measured(flagged: int, wrong: int = 10) -> Measure:
    return Measure(Rate(flagged, 400), Rate(wrong, 400), 0.9, (0.88, 0.92), 0.3, (0.25, 0.4))


def pool(
    name: str, flagged: int, baseline: int, *, wrong: int = 10, low_wrong: int = 10, near: int = 40, synthetic: bool = False
) -> PoolAudit:
    bins = tuple(DistanceBin(0.5 + i, 1.4 + i, Rate(near if i == 0 else 70, 80)) for i in range(5))
    return PoolAudit(
        name=name,
        synthetic=synthetic,
        n=400,
        n_chose=(200, 150),
        side=27,
        chain="reduced to 32 px (box) where larger",
        unmatched={"linear": measured(390), "msp": measured(60)},
        matched={"linear": measured(flagged, wrong), "msp": measured(60)},
        low_level_unmatched=measured(380),
        low_level=measured(baseline, low_wrong),
        worst_classes=(("<b>lynx</b> | cat", Rate(1, 9)),),
        distances=bins,
    )


def audit(*pools: PoolAudit, grey: int = 12) -> Audit:
    rates = {name: Rate(grey if name == "grey" else 12, 400) for name in BENIGN}
    return Audit("bundle", "linear", 0.05, 400, pools, rates, (("cat", Rate(30, 90)),), 0, "2026-01-01T00:00:00+00:00")


RNG = np.random.default_rng(0)
PICTURE = Example(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), "<script>alert(1)</script>", attack=True, flagged=False)
SHOWN = Shown(RNG.normal(size=400).astype(np.float32), (RNG.normal(size=400).astype(np.float32),), (PICTURE,), (PICTURE,))


@pytest.mark.parametrize(
    ("ours", "baseline", "answer", "words"),
    [
        ((300, 10), (12, 10), "YES", "this is content"),
        ((300, 10), (120, 10), "PARTLY", "0.45 of it is content"),
        ((300, 10), (295, 10), "NO", "may be file format alone"),
        ((20, 10), (12, 10), "NO", "it sees next to nothing"),
        ((274, 275), (12, 10), "NO", "it flags in images as often as out images"),
        ((300, 270), (12, 10), "NO", "it flags in images as often as out images"),  # 0.75 of out, but of in perhaps as much
        ((300, 180), (120, 10), "NO", "may be file format alone"),  # 0.3 more than by chance, as the baseline has
        ((300, 120), (120, 118), "YES", "this is content"),  # a baseline by chance, however much it flags
    ],
)
def test_verdict_follows_from_the_margin_over_the_baseline(
    ours: tuple[int, int], baseline: tuple[int, int], answer: str, words: str
) -> None:
    """Figures are out and in images flagged, of 400 each."""
    found = audit(pool("birds", ours[0], baseline[0], wrong=ours[1], low_wrong=baseline[1]))
    assert judged(found.pools[0], found) == answer
    assert passed(found) == (answer != "NO")
    told = verdict(found)[0]
    assert words in told
    assert [word for word in ("YES", "PARTLY", "NO") if f"{word}:" in told] == [answer]


def test_headline_says_of_a_detector_at_chance_that_it_tells_nothing() -> None:
    pools = (pool("far", 274, 12, wrong=275), pool("near", 200, 12))  # of near less is flagged, but more than of in images
    assert headline(audit(*pools)).startswith("linear flags 68 % of the pool far, the one it sees least, and as much of the cust")


def test_headline_is_of_the_real_pool_that_is_seen_least() -> None:
    pools = (pool("far", 380, 12), pool("near", 200, 12), pool("synthetic", 20, 12, synthetic=True))
    assert headline(audit(*pools)).startswith("linear flags 50 % of the pool near, the one it sees least, and this is content")
    assert headline(audit(pools[2])).startswith("linear flags 5 % of the pool synthetic, which is next to nothing")


def test_no_of_a_synthetic_pool_counts_only_where_there_is_no_real_one() -> None:
    real, made = pool("birds", 300, 12), pool("synthetic", 20, 12, synthetic=True)
    assert passed(audit(real, made))
    assert not passed(audit(made))
    assert not passed(audit(real, pool("fish", 300, 295)))


def test_document_gives_programs_every_rate_with_its_interval_and_the_verdict() -> None:
    found = audit(pool("birds", 300, 12))
    told = document(found)
    assert json.loads(json.dumps(told)) == told
    matched = told["pools"][0]["matched"]["linear"]
    rate = {"value": 0.75, "low": pytest.approx(0.705, abs=1e-3), "high": pytest.approx(0.790, abs=1e-3), "count": 300, "n": 400}
    assert matched["tpr"] == rate
    assert (matched["tnr"]["count"], matched["fpr"]["count"], matched["auroc_interval"]) == (390, 10, [0.88, 0.92])
    assert (told["pools"][0]["judged"], told["passed"], told["verdict"]) == ("YES", True, verdict(found))
    assert told["benign"]["grey"]["n"] == 400


def test_customers_are_hurt_only_where_it_is_sure() -> None:
    # 13.0 % of 400 has 10.06 % as its lower end, 12.75 % has 9.8: the line is at twice the target, 10 %.
    assert benign_hurt(audit(pool("birds", 300, 12), grey=52)) == ["grey"]
    assert benign_hurt(audit(pool("birds", 300, 12), grey=51)) == []
    assert any("Customers are hurt" in line for line in verdict(audit(pool("birds", 300, 12), grey=80)))
    assert "flagged too often" in headline(audit(pool("birds", 300, 12), grey=80))


def test_classes_that_bear_more_than_twice_the_target_are_named_with_the_way_out() -> None:
    told = verdict(audit(pool("birds", 300, 12)))[-1]
    assert "cat (0.333 [0.245, 0.436] n=90)" in told
    assert "--per-class" in told
    even = replace(audit(pool("birds", 300, 12)), worst_in_classes=(("cat", Rate(9, 90)),))
    assert "--per-class" not in verdict(even)[-1]


def test_near_images_are_told_of_only_where_they_pass_more() -> None:
    told = verdict(audit(pool("birds", 300, 12, near=20)))
    assert any("looks most like the model's classes 0.250" in line for line in told)
    assert not any("looks most like" in line for line in verdict(audit(pool("birds", 300, 12, near=70))))


def test_page_shows_everything_in_one_file_and_escapes_what_comes_from_outside() -> None:
    text = page(audit(pool("birds & bees", 300, 12)), SHOWN)
    assert text.count("<svg") == 4
    assert "<script>" not in text
    assert "<b>lynx" not in text
    assert "birds &amp; bees" in text
    assert all(name.replace(" %", "\N{NO-BREAK SPACE}%") in text for name in BENIGN)
    assert "75.0\N{NO-BREAK SPACE}%<small>70.5 to 79.0</small>" in text
    assert "400 / 400" in text
    assert "33.3\N{NO-BREAK SPACE}%<small>24.5 to 43.6; n = 90</small>" in text
    assert text.count('src="data:image/png;base64,') == 2


def test_page_leaves_out_what_there_is_not() -> None:
    bare = replace(pool("birds", 300, 12), distances=(), worst_classes=())
    text = page(audit(bare), Shown(SHOWN.inside, (), (), ()))
    for title in ("Near and far", "The classes that are seen least", "Where it errs"):
        assert title not in text
    assert "A synthetic pool is" not in text
    assert "A synthetic pool is" in page(audit(pool("synthetic", 300, 12, synthetic=True)), SHOWN)


def test_markdown_keeps_its_columns() -> None:
    text = markdown(audit(pool("birds", 300, 12)))
    assert "<b>lynx</b> \\| cat" in text
    assert "by distance from the nearest class" in text
