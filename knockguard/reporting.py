"""`knockguard report`: the table, the page and the Markdown of a run, made again from its files."""

from pathlib import Path

from evaluation.artefacts import ARTEFACTS, read_artefacts
from evaluation.report import write_report
from evaluation.report_markdown import write_markdown
from evaluation.report_table import results_table
from evaluation.results import read_results
from knockguard.console import note, out

REPORT = "report.html"


def write_again(path: Path, target: Path | None) -> None:
    """Print the table and write the page, beside the results unless another place is named, and Markdown beside the page."""
    results = read_results(path)
    folder = path if path.is_dir() else path.parent
    kept = folder / ARTEFACTS
    page = target or folder / REPORT
    write_report(results, read_artefacts(kept) if kept.exists() else None, page)
    document = page.with_suffix(".md")
    write_markdown(results, document)
    out.print(results_table(results))
    note(f"report:  {page}  (opens in any browser, offline)")
    note(f"in text: {document}")
