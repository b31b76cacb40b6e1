"""How many cores this process may use."""

import os


def n_cores() -> int:
    """Return the cores that this process may use; a container's share is less than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
