"""Figure 1 of the paper: how the answers fall on the classes, and how well the copy knows each class."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evaluation.plot_frame import CUSTOMER, GRID, HARM, INK, SAFE, panels, svg

_NAMED_AT_MOST = 20  # classes; more names than that run into each other
_COLOURS = (HARM, SAFE, CUSTOMER)

Recalls = Sequence[float | None]


def figure1(answers: Sequence[int], victim: Recalls, copies: Mapping[str, Recalls], classes: Sequence[str] = ()) -> str:
    """Return the plot as SVG: above the share of `answers` by top label, below the accuracies by class.

    `copies` are named as the legend names them; a class without a test image (None) has no dot. Classes stand in the order of
    their share, so that a copy which knows only what it was often told of falls off to the right.
    """
    shares = np.asarray(answers, np.float64) / max(1, sum(answers))
    order = np.argsort(-shares, kind="stable")
    places = np.arange(len(order), dtype=np.float64)
    with panels(7.2, 4.0, n=2) as (figure, (above, below)):
        above.bar(places, shares[order], color=CUSTOMER, width=0.8)
        above.axhline(1 / len(order), color=INK, linestyle=(0, (4, 3)), linewidth=1.0)
        above.annotate(
            "even", (1.0, 1 / len(order)), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=INK, fontsize=8, annotation_clip=False,
        )  # fmt: skip
        above.set_ylabel("share of answers")
        beside = 0.3 / (1 + len(copies))  # equal accuracies must not hide one another
        _dots(below, places - len(copies) * beside / 2, [victim[i] for i in order], colour=INK, name="victim")
        for n, ((name, recalls), colour) in enumerate(zip(copies.items(), cycle(_COLOURS), strict=False), start=1):
            _dots(below, places + (n - len(copies) / 2) * beside, [recalls[i] for i in order], colour=colour, name=name)
        below.set_ylabel("accuracy")
        below.set_ylim(-0.03, 1.03)
        below.set_xlabel("class, by its share of the answers")
        below.grid(axis="y", color=GRID, linewidth=0.8)
        below.set_axisbelow(True)
        if len(classes) == len(order) <= _NAMED_AT_MOST:
            below.set_xticks(places, [classes[i] for i in order], rotation=45, ha="right", fontsize=8)
        else:
            below.set_xticks([])
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        return svg(figure, "Share of the answers by class, and below it the accuracies of victim and copies")


def _dots(axes: Axes, places: NDArray[np.float64], recalls: Recalls, *, colour: str, name: str) -> None:
    heights = np.array([np.nan if recall is None else recall for recall in recalls])  # matplotlib leaves nan out
    axes.plot(places, heights, "o", color=colour, markersize=4, label=name)
