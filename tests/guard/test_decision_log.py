"""Decisions as lines: what is written is read again, and nothing else is taken for it."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_bundle import tiny_manifest, tiny_model

from guard.decision_log import Decided, DecidedRow, Origin, read_decisions
from guard.errors import InvalidInputError
from guard.guard import Decision, Guard
from guard.policies.label_only import LabelOnly
from guard.types import Action, ApplyTo

MANIFEST = tiny_manifest(model=tiny_model())
AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, UTC)


def decision(*scores: float) -> Decision:
    guard = Guard(MANIFEST, LabelOnly(), apply_to=ApplyTo.FLAGGED)
    return guard.decide(np.full((len(scores), 3), 1 / 3, np.float32), np.array(scores, np.float32).reshape(-1, 1))


def decided(*scores: float, tenant: str = "shop", request: str = "r1") -> Decided:
    return Decided(Origin.of(MANIFEST), decision(*scores), tenant, request, AT.timestamp())


def read_back(path: Path, text: str) -> list[DecidedRow]:
    path.write_text(text)
    return list(read_decisions(path))


def test_each_row_is_a_line_that_says_who_what_and_why(tmp_path: Path) -> None:
    one, other = read_back(tmp_path / "a.jsonl", decided(0.25, 0.75).lines())
    assert one == DecidedRow(
        time=AT, request="r1", row=0, tenant="shop", model="tiny", version="3", bundle=MANIFEST.digest, detector="linear",
        score=0.25, threshold=0.5, flagged=False, action=Action.ANSWER, policy="observe",
    )  # fmt: skip
    assert (other.row, other.score, other.flagged, other.action, other.policy) == (1, 0.75, True, Action.ALTER, "label-only")


def test_line_has_the_documented_fields_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/operations/audit-log.md").read_text(encoding="utf-8")
    line = json.loads(decided(0.5).lines())
    assert set(line) == {field.name for field in fields(DecidedRow)}
    assert all(f"| `{name}` |" in page for name in line)


@settings(max_examples=30)
@given(scores=arrays(np.float32, st.integers(0, 5), elements=st.floats(width=32)))
def test_every_score_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, scores: np.ndarray) -> None:
    rows = read_back(tmp_path_factory.getbasetemp() / "scores.jsonl", decided(*scores.tolist()).lines())
    found = [np.nan if r.score is None else r.score for r in rows]
    np.testing.assert_array_equal(np.array(found, np.float32), np.where(np.isfinite(scores), scores, np.nan))


@settings(max_examples=30)
@given(request=st.text(max_size=8), tenant=st.text(max_size=8))
def test_no_name_makes_a_line_of_its_own(tmp_path_factory: pytest.TempPathFactory, request: str, tenant: str) -> None:
    (row,) = read_back(tmp_path_factory.getbasetemp() / "names.jsonl", decided(0.1, request=request, tenant=tenant).lines())
    assert (row.request, row.tenant) == (request, tenant)


def test_files_of_a_folder_are_read_by_time_and_a_torn_end_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "decisions-2.jsonl.part").write_text(decided(0.75).lines() + decided(0.5).lines()[:40])
    (tmp_path / "decisions-1.jsonl").write_text(decided(0.25, 0.5).lines())
    (tmp_path / "notes.txt").write_text("not ours")
    assert [row.score for row in read_decisions(tmp_path)] == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}\n", "line 1 is no decision: time: Field required"),
        ("no json\n", "line 1 is no decision: the line: Invalid JSON"),
        (decided(0.1).lines() + decided(0.1).lines().replace("answer", "told"), "line 2 is no decision: action"),
        ("x" * 70_000, "line 1 has 65536 bytes and more"),
    ],
)
def test_what_is_no_decision_is_named_by_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        read_back(tmp_path / "a.jsonl", text)


def test_folder_without_decisions_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no"):
        list(read_decisions(tmp_path))
    with pytest.raises(InvalidInputError, match="cannot read"):
        list(read_decisions(tmp_path / "none.jsonl"))
