"""The paper's tables 3 and 4 beside a study's figures, each detector beside its own kind."""

from collections.abc import Iterator

from evaluation.detection_study import AS_THEY_COME, MATCHED, Study, VictimStudy, pools_of
from evaluation.evaluation_paper import VICTIMS
from evaluation.markdown import grid
from evaluation.paper_figures import TABLES

# The paper's detector, the column of its TPR in table 4, and how ours of the kind are named. RN101*LR has its own TNR, the
# baselines stand at a TNR of .95, as ours do.
_TABLE_4 = (
    ("RN101*LR", "tpr", "frozen-lr"),
    ("MSP", "msp_at_tnr95", "msp"),
    ("ODIN", "odin_at_tnr95", "odin"),
    ("Mahalanobis", "mahalanobis_at_tnr95", "mahalanobis"),
)
_POOLS = {"table4-imagenet": "ImageNet", "table4-openimages": "OpenImages"}
_KINDS = ("scratch", "frozen-lr")  # table 3's, by how ours are named


def paper(study: Study) -> list[str]:
    """Return Markdown: the paper's tables that the study names, ours beside, and what is not the same."""
    third, fourth = list(_third(study)) if "table3" in study.figures else [], list(_fourth(study))
    if not (third or fourth):
        return []
    lines = []
    if third:
        theirs = ", ".join(f"{name} {row['tpr'] / 100:.2f} at {row['tnr'] / 100:.2f}" for name, row in TABLES["table3"].items())
        lines += [
            "### The paper's table 3 beside ours",
            "",
            f"Theirs, TPR at TNR, for CUBS-RN34 against ImageNet with images as they come: {theirs}.",
            "",
            *grid(("ours", "victim", *_heads(study)), third),
        ]
    if fourth:
        head = ("paper's victim", "paper's pool", "detector", "paper: TPR", "victim", *_heads(study))
        lines += ["### The paper's table 4 beside ours", "", *grid(head, fourth)]
    return [*lines, "What differs:", "", *(f"- {d}" for d in study.differs), ""]


def _heads(study: Study) -> tuple[str, str]:
    return f"ours matched, target {study.targets[-1]:.0%}", "ours as they come"


def _third(study: Study) -> Iterator[tuple[str, ...]]:
    for victim in study.victims:
        for name in _named(victim, *_KINDS):
            yield (f"`{name}`", victim.name, *_ours(victim, name, study))


def _fourth(study: Study) -> Iterator[tuple[str, ...]]:
    for table, pool in _POOLS.items():
        for victim in study.victims if table in study.figures else ():
            row = next((name for name in VICTIMS.get(victim.set, ()) if name in TABLES[table]), None)
            for theirs, column, kind in _TABLE_4 if row else ():
                cell = TABLES[table][row or ""]
                at = f" at TNR {cell['tnr'] / 100:.2f}" if column == "tpr" else " at TNR .95"
                ours = [study.default, *_named(victim, kind)] if column == "tpr" else _named(victim, kind)
                for name in ours:
                    shown = theirs if name != study.default else f"{theirs} / our default"
                    told = (f"{shown} / `{name}`", f"{cell[column] / 100:.2f}{at}", victim.name)
                    yield (row or "", pool, *told, *_ours(victim, name, study))


def _named(victim: VictimStudy, *kinds: str) -> list[str]:
    """Return our detectors of these kinds, but for those fitted on many histories."""
    names = dict.fromkeys(row.detector for row in victim.rows)
    return [name for name in names if name.split("-backbone")[0] in kinds and not name.endswith(", varied")]


def _ours(victim: VictimStudy, name: str, study: Study) -> tuple[str, str]:
    """Return TPR by pool with the TNR, after the matched chain and as images come."""
    cells = []
    for world in (MATCHED, AS_THEY_COME):
        rows = [(pool, victim.find(world, name, pool, study.targets[-1])) for pool in pools_of(victim)]
        found = [(pool, row.measure) for pool, row in rows if row is not None]
        told = ", ".join(f"{pool} {m.tpr.value:.2f}" for pool, m in found)
        cells.append(f"{told} at TNR {found[0][1].tnr.value:.2f}" if found else "-")
    return cells[0], cells[1]
