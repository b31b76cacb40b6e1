"""`knockguard audit`: what a bundle sees, in numbers and in words."""

import json
from pathlib import Path

from miniature import InProcess, Miniature, call, discs, listing, save


def test_audit_ends_in_a_verdict(bundle: Path, miniature: Miniature, tmp_path: Path) -> None:
    inside = save(discs(150, seed=30)[0], tmp_path / "in")
    done = call("audit", bundle, "--in", inside, "--pool", miniature.outside, "-o", tmp_path / "audit", "--limit", 150)
    assert done.code == 0, done.err
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (pool,) = audit["pools"]
    assert pool["matched"]["linear"]["tpr"]["count"] > 0.8 * pool["matched"]["linear"]["tpr"]["n"]
    assert audit["benign"]["as sent"]["n"] == 150
    page = (tmp_path / "audit" / "audit.md").read_text()
    assert any(word in page for word in ("YES:", "PARTLY:", "NO:"))
    assert "Customers are" in page


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
