"""`knockguard list`: the members of every plugin family, from their registries."""

from rich.table import Table

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.registry import ATTACKS
from guard.detectors.registry import DETECTORS
from guard.policies.registry import POLICIES
from guard.registry import Registry
from knockguard.console import out


def print_families() -> None:
    """Print one row a member: its family, its name and the first sentence of its docstring."""
    families: dict[str, Registry] = {"detector": DETECTORS, "policy": POLICIES, "attack": ATTACKS, "adversary": ADVERSARIES}  # type: ignore[type-arg]  # of four kinds
    table = Table("family", "name", "what it does")
    for family, registry in families.items():
        for name in registry:
            table.add_row(family, name, (registry.get(name).__doc__ or "").partition("\n")[0])
    out.print(table)
