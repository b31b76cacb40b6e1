"""`knockguard audit`: what a bundle sees, in numbers and in words."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature import InProcess, Miniature, call, discs, listing, save, stripes

from evaluation.audit_results import Audit
from evaluation.audit_words import verdict
from evaluation.synthetic import KINDS
from exporters.runtime import run
from guard.bundle import load_bundle, write_bundle
from guard.guard import Guard
from guard.images import decode, read
from guard.policies.observe import Observe
from guard.preprocess import to_inputs
from guard.seen import Seen, read_seen
from guard.types import ApplyTo
from knockguard.audit_scoring import Scorer
from knockguard.audit_sources import Sources
from knockguard.recalibrating import LOGGED


@pytest.fixture(scope="module")
def audited(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("audited")
    inside = save(discs(150, seed=30)[0], folder / "in")
    outside = save(stripes(150, seed=40), folder / "out", ("a", "b", "c"))
    pools = ["--pool", outside, "--pool", "synthetic"]
    done = call("audit", bundle, "--in", inside, *pools, "-o", folder / "audit", "--limit", 120, "--json")
    found: dict[str, Any] = json.loads(done.out)
    assert done.code == (0 if found["passed"] else 5), done.err
    return found


def test_audit_ends_in_a_verdict(bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess) -> None:
    inside = save(discs(150, seed=30)[0], tmp_path / "in")
    done = knockguard("audit", bundle, "--in", inside, "--pool", miniature.outside, "-o", tmp_path / "audit", "--limit", 150)
    assert done.code == 5, done.err
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert audit["pools"][0]["judged"] == "NO", "stripes are told from discs by their spectrum alone"
    (pool,) = audit["pools"]
    assert pool["matched"]["linear-late"]["tpr"]["count"] > 0.8 * pool["matched"]["linear-late"]["tpr"]["n"]
    assert audit["benign"]["as sent"]["n"] == 150
    n = load_bundle(bundle).manifest.provenance.images["out_test"]
    assert (pool["n"], pool["n_chose"]) == (n - n // 3, [50, n // 3]), "what chooses the chain is not measured"
    assert audit["left_out"] == {str(miniature.outside): f"{300 - n} images"}
    assert f"then to {pool['side']} px" in done.words
    assert f"then to {pool['side']} px" in pool["chain"]
    words = (tmp_path / "audit" / "audit.md").read_text()
    assert verdicts(words) == ["NO"]  # stripes are told from discs by statistics as well
    assert "may be file format alone" in words
    assert pool["chain"] in words
    assert "Customers are" in words
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert page.count("<svg") == 4
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "the page asks for something from elsewhere"
    assert listing(tmp_path / "audit") == {"audit.json", "audit.md", "audit.html"}


def test_detector_that_flags_in_and_out_alike_is_told_to_tell_nothing(
    bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    """Discs against other discs, at a threshold in the middle of their scores: much is flagged, and none of it says anything."""
    loaded = load_bundle(bundle)
    inside, pool = (save(discs(150, seed=seed)[0], tmp_path / str(seed)) for seed in (34, 35))
    scores = run(loaded.model, to_inputs(discs(150, seed=36)[0], loaded.manifest.input))["scores"]
    middle = tuple(
        d.model_copy(update={"threshold": replace(d.threshold, value=float(np.quantile(scores[:, i], 0.4)))})
        for i, d in enumerate(loaded.manifest.detectors)
    )
    write_bundle(tmp_path / "middle", manifest=loaded.manifest.model_copy(update={"detectors": middle}), model=loaded.model)
    done = knockguard("audit", tmp_path / "middle", "--in", inside, "--pool", pool, "-o", tmp_path / "audit")
    assert done.code == 5, done.words
    (measured,) = json.loads((tmp_path / "audit" / "audit.json").read_text())["pools"]
    assert measured["matched"][loaded.manifest.detector]["tpr"]["count"] > 30, "too few are flagged for this to be a test"
    words = (tmp_path / "audit" / "audit.md").read_text()
    assert verdicts(words) == ["NO"]
    assert "flags in images as often as out images" in words
    assert "cannot be checked" in words  # it was written without what made it


def test_images_and_kinds_that_made_the_bundle_are_left_out(
    bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    loaded = load_bundle(bundle)
    images = loaded.manifest.provenance.images
    seen = read_seen(bundle, loaded.manifest.provenance.seen)
    assert seen is not None
    fitted = tuple(KINDS)[:6]
    made = tmp_path / "made"
    write_bundle(made, manifest=loaded.manifest, model=loaded.model, seen=replace(seen, kinds=fitted))
    done = knockguard("audit", made, "--in", miniature.inside, "--pool", "synthetic", "-o", tmp_path / "audit", "--limit", 200)
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert done.code == (0 if audit["passed"] else 5), done.words
    n_made = images["in_fit"] // 2 + images["calibration_as_sent"]
    assert (audit["n_in"], f"{n_made} images of {miniature.inside} made the bundle" in done.words) == (images["in_test"], True)
    assert audit["left_out"] == {str(miniature.inside): f"{n_made} images", "synthetic": f"the kinds {', '.join(fitted)}"}
    assert {name for name, _ in audit["pools"][0]["worst_classes"]} == set(KINDS) - set(fitted)
    words = (tmp_path / "audit" / "audit.md").read_text()
    assert f"Left out, since they made the bundle: {n_made} images of {miniature.inside}." in words
    assert "cannot be checked" not in words


def test_images_that_calibrated_by_their_logged_scores_are_said_to_be_beyond_telling(
    bundle: Path, miniature: Miniature, tmp_path: Path
) -> None:
    loaded = load_bundle(bundle)
    made = loaded.manifest.provenance
    images = made.images | {f"{LOGGED}linear-late": 600, f"{LOGGED}msp": 500}
    logged = replace(
        loaded, manifest=loaded.manifest.model_copy(update={"provenance": made.model_copy(update={"images": images})})
    )
    counts = [Sources(each, bundle, limit=200, seed=0).n_logged for each in (loaded, logged)]
    assert counts == [0, 600]
    audit = Audit(str(bundle), "msp", 0.05, 100, (), {}, (), 0, "today", {}, counts[1])
    said = [sentence for sentence in verdict(audit) if "cannot be checked" in sentence]
    assert [("600 whose logged scores" in sentence) for sentence in said] == [True]
    assert not any("cannot be checked" in sentence for sentence in verdict(replace(audit, n_logged=0)))


def test_audit_on_nothing_but_what_made_the_bundle_is_refused(
    bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    loaded = load_bundle(bundle)
    every = [sha256(path.read_bytes()).digest() for path in miniature.inside.rglob("*.png")]
    for left, said in ((0, "0 different images fell to 'all'"), (9, "holds 9 images")):
        made = tmp_path / f"made-{left}"
        write_bundle(made, manifest=loaded.manifest, model=loaded.model, seen=Seen.of(every[left:]))
        done = knockguard("audit", made, "--in", miniature.inside, "--pool", "synthetic", "-o", tmp_path / "audit")
        assert (done.code, said in done.words, f"beside {420 - left} that made the bundle" in done.words) == (3, True, True)


def verdicts(words: str) -> list[str]:
    """Return the answers of an audit, a pool each."""
    return re.findall(r"\b(YES|PARTLY|NO):", words)


def test_distances_cover_the_pool_and_come_from_the_models_own_stage(audited: dict[str, Any]) -> None:
    real, made = audited["pools"]
    for pool in (real, made):
        assert sum(part["flagged"]["n"] for part in pool["distances"]) == pool["n"]
        assert all(a["high"] <= b["low"] for a, b in pairwise(pool["distances"]))
    assert real["distances"][-1]["high"] > 1.5, "stripes lie no further from discs than discs do"


def test_synthetic_pool_is_reported_beside_the_real_one(audited: dict[str, Any]) -> None:
    real, made = audited["pools"]
    assert (real["synthetic"], made["synthetic"], made["name"], made["n"]) == (False, True, "synthetic", 80)
    assert {name for name, _ in made["worst_classes"]} == set(KINDS)
    assert real["low_level"]["tpr"]["n"] + made["low_level"]["tpr"]["n"] == 2 * 80


def test_rates_are_those_of_the_guard(bundle: Path, audited: dict[str, Any], tmp_path: Path) -> None:
    """Of the images as they are sent: what a guard flags, the audit counts."""
    loaded = load_bundle(bundle)
    pixels = np.stack([decode(item.content) for item in read(save(discs(150, seed=30)[0], tmp_path / "in"))])
    found = run(loaded.model, to_inputs(pixels, loaded.manifest.input))
    guard = Guard(loaded.manifest, Observe(), apply_to=ApplyTo.FLAGGED)
    flagged = guard.decide(found["probabilities"], found["scores"]).flagged
    # The audit draws 120 of the 150 by their hashes.
    digests = [sha256(path.read_bytes()).digest() for path in sorted((tmp_path / "in").iterdir())]
    chosen = np.argsort([digest.hex() for digest in digests])[:120]
    as_sent = audited["benign"]["as sent"]
    assert (as_sent["count"], as_sent["n"]) == (int(flagged[chosen].sum()), 120)


def test_thresholds_of_each_class_are_audited_as_they_are_served(bundle: Path, miniature: Miniature, tmp_path: Path) -> None:
    """One threshold for all, written as one of each class, must give the same audit."""
    loaded = load_bundle(bundle)
    alike = tuple(
        d.model_copy(update={"threshold": replace(d.threshold, per_class=(d.threshold.value,) * 3)})
        for d in loaded.manifest.detectors
    )
    write_bundle(tmp_path / "alike", manifest=loaded.manifest.model_copy(update={"detectors": alike}), model=loaded.model)
    inside = discs(40, seed=33)[0]
    first, second = Scorer(loaded)(inside), Scorer(load_bundle(tmp_path / "alike"))(inside)
    for name, excess in first.excess.items():
        np.testing.assert_array_equal(excess, second.excess[name])


def test_pools_of_one_name_are_told_apart_and_what_is_wrong_with_one_is_said_first(
    bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    inside, first = save(discs(60, seed=36)[0], tmp_path / "in"), save(stripes(60, seed=34), tmp_path / "a" / "test")
    second = save(stripes(60, seed=35), tmp_path / "b" / "test")
    done = knockguard("audit", bundle, "--in", inside, "--pools", first, "--pools", second, "-o", tmp_path / "audit", "--json")
    assert [pool["name"] for pool in json.loads(done.out)["pools"]] == ["a/test", "b/test"]
    for pools, said, code in (
        ([first, first], "test is given twice; give each pool once", 2),
        ([first, first / ".." / "test"], "test is given twice; give each pool once", 2),
        ([first, tmp_path / "typo"], "typo", 3),
        ([first, inside], "60 of the 60 images", 3),
    ):
        words = [word for pool in pools for word in ("--pool", pool)]
        refused = knockguard("audit", bundle, "--in", inside, *words, "-o", tmp_path / "refused")
        assert (refused.code, said in refused.words, "reading in images" in refused.words) == (code, True, False), refused.err
        assert not (tmp_path / "refused").exists()


def test_audit_refuses_too_few_images_and_to_overwrite(
    bundle: Path, miniature: Miniature, tmp_path: Path, knockguard: InProcess
) -> None:
    few = save(discs(9, seed=31)[0], tmp_path / "few")
    out = tmp_path / "audit"
    refused = knockguard("audit", bundle, "--in", few, "--pool", miniature.outside, "-o", out)
    assert (refused.code, "few holds 9 images; an audit needs at least 20" in refused.words) == (3, True)
    assert not out.exists()
    out.mkdir()
    (out / "audit.json").write_text("mine")
    refused = knockguard("audit", bundle, "--in", miniature.inside, "--pool", miniature.outside, "-o", out)
    assert (refused.code, "--force" in refused.words) == (2, True)
    assert listing(out) == {"audit.json"}
