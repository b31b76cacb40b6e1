"""The table that closes a run in the terminal: one row a policy, every share with its n."""

from typing import TYPE_CHECKING

from evaluation.report_text import count, ratio, share_of
from evaluation.results import Results

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("policy", "copy's accuracy", "recovery", "net", "fidelity", "attack flagged", "benign flagged", "benign accuracy")


def policy_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the cells that terminal and page share, one tuple a policy, in the order of `COLUMNS`."""
    return [
        (
            p.policy if p.apply_to == "flagged" else f"{p.policy} (to {p.apply_to})",
            f"{p.surrogate_accuracy:.3f}",
            ratio(p.recovery),
            ratio(p.net_recovery),
            f"{p.fidelity:.3f}",
            "-" if p.flagged is None else share_of(p.flagged, p.queries),
            share_of(p.benign_flagged, p.benign_n) if p.benign_n else "-",
            "-" if p.benign_accuracy is None else f"{p.benign_accuracy:.3f}",
        )
        for p in results.policies
    ]


def results_table(results: Results) -> "Table":
    """Return the table, its caption naming victim, chance, detector and baseline."""
    from rich.table import Table
    from rich.text import Text

    victim = results.victim
    told = [
        f"{d.name}: TPR {d.tpr:.3f} (n = {count(d.n_out)}), FPR {d.fpr:.3f} (n = {count(d.n_in)})"
        for d in (results.detector, results.baseline)
        if d is not None
    ]
    table = Table(
        title=f"What a copy is worth: victim {victim.accuracy:.3f} balanced accuracy, chance {victim.chance:.3f}",
        caption="; ".join(told) or None,
    )
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in policy_rows(results):
        table.add_row(*map(Text, row))  # a name is never read as markup
    return table
