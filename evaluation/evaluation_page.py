"""An evaluation's report: one HTML file that opens offline, and the same account in Markdown."""

from collections.abc import Callable
from html import escape
from json import dumps
from pathlib import Path

from evaluation import page as parts
from evaluation.evaluation_plots import plots
from evaluation.evaluation_results import Evaluation
from evaluation.evaluation_roc import rocs
from evaluation.evaluation_words import AGAIN, BEST, CARE, DETECTORS, Block, Section, account, headline, tiles
from guard.whole import write_whole

PAGE = "report.html"


def write_pages(evaluation: Evaluation, path: Path) -> None:
    """Write the page at `path` and the Markdown beside it, each whole or not at all."""
    write_whole(path, page(evaluation).encode())
    write_whole(path.with_suffix(".md"), markdown(evaluation).encode())


def markdown(evaluation: Evaluation, *, level: int = 1) -> str:
    """Return the account as Markdown whose title has this level."""
    told = [f"{'#' * level} {evaluation.title}", _plain(headline(evaluation))]
    for section in account(evaluation):
        told += [f"{'#' * (level + 1)} {section.title}", *(_MARKDOWN[block.kind](block) for block in section.blocks)]
    return "\n\n".join(told) + "\n"


def page(evaluation: Evaluation) -> str:
    """Return the account and its plots as HTML; whatever comes from outside is escaped."""
    drawn = {BEST: plots(evaluation), DETECTORS: rocs(evaluation)}  # each below the section whose figures it shows
    sections = []
    for section in account(evaluation):
        sections.append(_section(section, evaluation))
        sections += [parts.section(title, parts.plot(svg)) for title, svg in drawn.get(section.title, ())]
    return parts.document(
        title=evaluation.title,
        kicker=f"knockguard evaluation · {evaluation.created[:16].replace('T', ' ')} UTC",
        tiles=f'<p class="lead">{escape(headline(evaluation))}</p>{parts.tile_row(tiles(evaluation))}',
        sections=sections,
    )


def _section(section: Section, evaluation: Evaluation) -> str:
    if section.title == CARE:
        return parts.caution([line for block in section.blocks for line in block.lines])
    body = "".join(_HTML[block.kind](block) for block in section.blocks)
    if section.title == AGAIN:
        body += parts.fold("The experiment as it was read", f"<pre>{escape(dumps(evaluation.settings, indent=2))}</pre>")
    return parts.section(section.title, body)


def _table(block: Block) -> str:
    head, *rows = block.rows
    lines = [head, ("---",) * len(head), *(tuple(_plain(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _html_table(block: Block) -> str:
    head, *rows = block.rows
    return parts.table(head, rows)


def _plain(text: str) -> str:
    """Return text in which Markdown finds nothing to read; a message may run over several lines."""
    text = " ".join(text.split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


_MARKDOWN: dict[str, Callable[[Block], str]] = {
    "text": lambda block: "\n\n".join(map(_plain, block.lines)),
    "list": lambda block: "\n".join(f"- {_plain(line)}" for line in block.lines),
    "table": _table,
    "command": lambda block: "```sh\n" + "\n".join(block.lines) + "\n```",
}
_HTML: dict[str, Callable[[Block], str]] = {
    "text": lambda block: "".join(map(parts.note, block.lines)),
    "list": lambda block: parts.items(block.lines),
    "table": _html_table,
    "command": lambda block: f"<pre>{escape(chr(10).join(block.lines))}</pre>",
}
