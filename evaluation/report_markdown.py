"""report.md: the page's words and tables as Markdown, for a merge request, a wiki or a mail; the plots are the page's."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evaluation.report import LIMITS
from evaluation.report_paper import beside, differences
from evaluation.report_table import COLUMNS, DETECTOR_COLUMNS, detector_rows, policy_rows
from evaluation.report_text import cautions, certainty, count, findings, headline
from evaluation.report_tradeoffs import frontier
from evaluation.results import Results
from guard.whole import write_whole

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")


def write_markdown(results: Results, path: Path) -> None:
    """Write the document, whole or not at all."""
    write_whole(path, markdown(results).encode())


def markdown(results: Results) -> str:
    """Return the report as Markdown; what comes from outside is escaped, so that it is neither markup nor HTML."""
    victim = results.victim
    best = [p.policy for p in frontier(results)]
    parts = [
        f"# {text(headline(results))}",
        text(f"knockguard report, {results.created[:16].replace('T', ' ')} UTC"),
        section("Take care", items(cautions(results))),
        section("Recovery by policy", table(COLUMNS, policy_rows(results))),
        text(
            f"Victim {victim.accuracy:.3f} balanced accuracy on {count(victim.n_test)} test images, chance {victim.chance:.3f}. "
            f"Every accuracy is balanced; net recovery takes chance from both. {certainty(results)}"
        ),
        text(f"No other policy beats these on both sides, harm and customers' accuracy: {', '.join(best)}.") if best else "",
        section("What it means", items(findings(results))),
        section("Who is flagged", table(DETECTOR_COLUMNS, detector_rows(results)) if results.detector else ""),
        section("Beside the paper", _beside(results)),
        section("What this does not show", items(LIMITS)),
        section("Make it again", _reproduce(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(words: str) -> str:
    """Return words on one line, of which none is markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))


def items(lines: Iterable[str]) -> str:
    """Return a list; nothing for no lines."""
    return "\n".join(f"- {text(line)}" for line in lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; nothing for no rows."""
    lines = [[text(cell) for cell in head], ["---"] * len(head), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def section(title: str, body: str) -> str:
    """Return a section; nothing without a body."""
    return f"## {title}\n\n{body}" if body else ""


def _beside(results: Results) -> str:
    rows = [(b.quantity, b.ours, b.theirs, b.source) for b in beside(results)]
    return f"{table(('quantity', 'this run', 'paper', 'where'), rows)}\n\n{items(differences(results))}".strip()


def _reproduce(results: Results) -> str:
    command = " ".join(results.command.split())  # of one line, so an indented block holds it whatever it says
    facts: dict[str, Mapping[str, object]] = {"seeds": results.seeds, "versions": results.versions, "settings": results.settings}
    told = [f"{name}: {', '.join(f'{k} {v}' for k, v in values.items())}" for name, values in facts.items() if values]
    return f"    {command}\n\n{items(told)}"
