"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def grid(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table, and an empty line."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in body]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in escaped), ""]
