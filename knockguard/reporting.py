"""`knockguard report`: the table, the page and the Markdown of a run, made again from its files."""

import json
from pathlib import Path

from evaluation.artefacts import ARTEFACTS, read_artefacts
from evaluation.evaluation_page import write_pages
from evaluation.evaluation_results import read_evaluation
from evaluation.evaluation_tables import table
from evaluation.evaluation_words import headline
from evaluation.report import write_report
from evaluation.report_markdown import write_markdown
from evaluation.report_table import results_table
from evaluation.results import RESULTS, read_results
from knockguard.console import note, out

REPORT = "report.html"


def write_again(path: Path, target: Path | None) -> None:
    """Print the table and write the page, beside the results unless another place is named, and Markdown beside the page."""
    folder = path if path.is_dir() else path.parent
    page = target or folder / REPORT
    if _has_cells(path):
        _tell_evaluation(path, page)
    else:
        _tell_run(path, folder / ARTEFACTS, page)
    note(f"report:  {page}  (opens in any browser, offline)")
    note(f"in text: {page.with_suffix('.md')}")


def _tell_run(path: Path, kept: Path, page: Path) -> None:
    results = read_results(path)
    write_report(results, read_artefacts(kept) if kept.exists() else None, page)
    write_markdown(results, page.with_suffix(".md"))
    out.print(results_table(results))


def _tell_evaluation(path: Path, page: Path) -> None:
    evaluation = read_evaluation(path)
    write_pages(evaluation, page)
    out.print(table(evaluation))
    out.print(headline(evaluation), markup=False)


def _has_cells(path: Path) -> bool:
    """Whether the document is an evaluation's; one that cannot be read is none, and is complained of as any run's."""
    try:
        return "cells" in json.loads((path / RESULTS if path.is_dir() else path).read_bytes())
    except (OSError, ValueError, TypeError):
        return False
