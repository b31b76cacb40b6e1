"""A page that a script makes of committed results: written, or with --check only compared."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def keep(page: Path, make: Callable[[], str], *, script: str, about: str | None) -> int:
    """Write or compare what `make` returns; 1 if --check found it not current. `about` is the docstring of `script`."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    check = parser.parse_args().check
    text, name = make(), f"docs/{page.name}"
    current = page.is_file() and page.read_text(encoding="utf-8") == text
    if check and not current:
        print(f"{name} is not current; run `python docs/{script}`", file=sys.stderr)
        return 1
    if not check:
        page.write_text(text, encoding="utf-8")
    print(f"{name}: {'current' if current else 'written'}")
    return 0
