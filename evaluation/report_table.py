"""The table that closes a run in the terminal: one row a policy, every share with its n."""

from typing import TYPE_CHECKING

from evaluation.report_text import count, flagged_in, flagged_out, ratio, share_of, spread
from evaluation.results import DetectorResult, Results

if TYPE_CHECKING:
    from rich.table import Table

TERMINAL_COLUMNS = ("policy", "copy", "recov.", "net", "fidel.", "flagged", "false +", "benign")
COLUMNS = ("policy", "copy's accuracy", "recovery", "net", "fidelity", "attack flagged", "benign flagged", "benign accuracy")
DETECTOR_COLUMNS = ("detector", "out flagged, TPR (95 %)", "in flagged, FPR (95 %)", "AUROC")


def policy_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the cells that terminal and page share, one tuple a policy, in the order of `COLUMNS`."""
    return [
        (
            p.policy if p.apply_to == "flagged" else f"{p.policy} (to {p.apply_to})",
            f"{p.surrogate_accuracy:.3f}",
            ratio(p.recovery),
            "-" if p.net_recovery is None else ratio(p.net_recovery),
            "-" if p.fidelity is None else f"{p.fidelity:.3f}",
            "-" if p.flagged is None else share_of(p.flagged, p.queries),
            share_of(p.benign_flagged, p.benign_n) if p.benign_n else "-",
            "-" if p.benign_accuracy is None else f"{p.benign_accuracy:.3f}",
        )
        for p in results.policies
    ]


def detector_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the cells of each detector, the deciding one first and the low-level baseline last; none without a detector."""

    def row(d: DetectorResult, name: str) -> tuple[str, ...]:
        auroc = f"{d.auroc:.3f}" if d.auroc is not None else "-"
        return (name, flagged_out(d), flagged_in(d), auroc)

    if results.detector is None:
        return []
    rows = [row(results.detector, f"{results.detector.name} (decides)"), *(row(d, d.name) for d in results.other_detectors)]
    return rows if results.baseline is None else [*rows, row(results.baseline, results.baseline.name)]


def results_table(results: Results) -> "Table":
    """Return the table, its caption naming victim, chance, detector and baseline."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    victim = results.victim
    told = [line for d in (results.detector, results.baseline) if d is not None for line in _detector_lines(d)]
    asked = sorted({(p.queries, p.benign_n) for p in results.policies})
    told.append("copy, benign: balanced accuracy of the copy, of the guarded answers; false +: customers flagged")
    told += [f"a copier asks {count(q)} times, a customer {count(n)}" if n else f"{count(q)} queries" for q, n in asked]
    told += [f"copies behind {p.policy}: {spread(p)}" for p in results.policies if spread(p)]
    table = Table(
        title=f"What a copy is worth: victim {victim.accuracy:.3f} balanced accuracy, chance {victim.chance:.3f}",
        caption="\n".join(told),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for i, column in enumerate(TERMINAL_COLUMNS):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in policy_rows(results):
        # A name is never read as markup; counts stand once, below the table, so that it fits 80 columns.
        table.add_row(*(Text(cell.partition(" of ")[0].replace(" %", "%")) for cell in row))
    return table


def _detector_lines(detector: DetectorResult) -> tuple[str, str]:
    name = detector.name
    return f"{name}: TPR {flagged_out(detector)}", f"{' ' * len(name)}  FPR {flagged_in(detector)}"
