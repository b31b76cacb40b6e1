"""The frame of every plot: colours, type, and a figure as SVG text that stands in a page; drawn without pyplot's globals."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guard.types import Floats

INK, MUTED, GRID = "#1c2430", "#66707f", "#e4e7ec"
HARM, SAFE, CUSTOMER = "#c2410c", "#0f766e", "#3b6fb6"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "none",  # text stays text: small, sharp, selectable
    "text.parse_math": False,  # a name with two dollar signs is a name
    "svg.hashsalt": "knockguard",  # equal figures give equal bytes
}
_BINS = 48


@contextmanager
def canvas(width_in: float, height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure and its axes, in inches, in the style of the page."""
    with panels(width_in, height_in, n=1) as (drawn, (axes,)):
        yield drawn, axes


@contextmanager
def panels(width_in: float, height_in: float, *, n: int) -> Iterator[tuple[Figure, tuple[Axes, ...]]]:
    """Yield a figure and n axes, one above the other, that share what is drawn to the right."""
    with mpl.rc_context(_STYLE):
        drawn = Figure(figsize=(width_in, height_in), layout="constrained")
        yield drawn, tuple(drawn.subplots(n, 1, sharex=True, squeeze=False)[:, 0])


def svg(figure: Figure, title: str) -> str:
    """Return the <svg> element alone, scaling with the page and named for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    named = f'<svg {spaces} role="img" aria-label="{escape(title)}"'
    return re.sub(r'<svg [^>]*?( viewBox="[^"]*")[^>]*>', lambda found: f"{named}{found[1]}>", text, count=1)


def bin_edges(inside: Floats, outside: Floats, threshold: float) -> Floats:
    """Return bins over the middle 99 % of both and the threshold: one stray score must not squeeze the rest into one bar."""
    finite = np.concatenate([inside[np.isfinite(inside)], outside[np.isfinite(outside)]])
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (threshold - 1, threshold + 1)
    low, high = min(low, threshold), max(high, threshold)
    margin = 0.02 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, _BINS + 1).astype(np.float32)


def log_if_steep(axes: Axes) -> None:
    """Take a logarithmic axis where one bar would hide the rest, as a saturated score does."""
    heights = [patch.get_height() for patch in axes.patches if patch.get_height() > 0]  # type: ignore[attr-defined]
    if heights and max(heights) > 60:
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(heights) / 2)
