"""The report as Markdown: the figures of the page, and nothing from outside is markup."""

import pytest
from sample_run import policy, results

from evaluation.report_markdown import markdown
from evaluation.report_table import policy_rows
from evaluation.report_text import cautions, headline


def test_headline_policies_and_doubts_are_those_of_the_page() -> None:
    run = results()
    text = markdown(run)
    assert text.startswith(f"# {headline(run)}".partition("%")[0].replace("_", "\\_"))
    for row in policy_rows(run):
        assert f"| {' | '.join(row)} |" in text
    assert text.count("\n- ") > len(cautions(run))
    assert "    knockguard demo --seed 0\n" in text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b", "# c\n# d", "[x](http://y)", "`e`"])
def test_name_from_outside_is_text(name: str) -> None:
    run = results().model_copy(update={"policies": (policy(name, 0.7), policy("observe", 0.78))})
    text = markdown(run)
    assert name not in text
    assert not [line for line in text.splitlines() if line.startswith("# ")][1:]
    head, *rows = [line for line in text.partition("## Recovery by policy")[2].splitlines() if line.startswith("|")][:4]
    cells = {row.replace("\\|", "").count("|") for row in (head, *rows)}
    assert len(cells) == 1
