"""The parts of a page that opens offline: sections, tables, plots, pictures in one file, and what comes from outside escaped."""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from PIL import Image

from evaluation.artefacts import Example

_EXAMPLE_PX = 96
_TIGHT = 7  # columns
_FIGURE = re.compile(r"-?[\d.]")
_BRACKETS = re.compile(r"([\d.,]+(?:x| %)?) \(([^()]*)\)(.*)")


def document(*, title: str, kicker: str, tiles: str, sections: Iterable[str]) -> str:
    """Return the page as HTML text; `tiles` and `sections` are HTML, the others are text."""
    style = files("evaluation").joinpath("report.css").read_text(encoding="utf-8")
    heading = escape(title)
    text = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>knockguard: {heading}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n<header>\n"
        f'<p class="kicker">{escape(kicker)}</p>\n<h1>{heading}</h1>\n{tiles}</header>\n'
        f"{''.join(sections)}</main>\n</body>\n</html>\n"
    )
    return re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", text)  # a number and its sign stay on one line


def tile_row(tiles: Iterable[tuple[str, str, str, str]]) -> str:
    """Return the figures that somebody in a hurry wants: kind ("harm", "safe" or ""), the figure, what it is, a note."""
    cells = (
        f'<div class="tile {kind}"><b>{escape(big)}</b>{escape(what)}<small>{escape(note)}</small></div>'
        for kind, big, what, note in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>\n'


def section(title: str, body: str) -> str:
    """Return a section; `body` is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>\n"


def caution(lines: Sequence[str]) -> str:
    """Return what a reader must not miss, or nothing."""
    return f'<section class="caution">\n<h2>Take care</h2>\n{items(lines)}\n</section>\n' if lines else ""


def plot(svg: str) -> str:
    """Return a plot that is as wide as the page."""
    return f'<div class="plot">{svg}</div>'


def note(text: str) -> str:
    """Return a paragraph in small print."""
    return f'<p class="note">{escape(text)}</p>'


def items(lines: Iterable[str]) -> str:
    """Return a list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def fold(title: str, body: str) -> str:
    """Return what is read on request; `body` is HTML."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, harm: Sequence[bool] = (), strong: Sequence[bool] = ()) -> str:
    """Return a table; rows marked `harm` or `strong` stand out. One of seven columns or more is set tight.

    Columns of words stand to the left, of figures to the right; what follows a figure in brackets stands below it, small.
    """
    none = [False] * len(rows)
    kinds = zip(harm or none, strong or none, strict=True)
    marks = (" class=harm" if bad else " class=strong" if bold else "" for bad, bold in kinds)
    tight = len(head) >= _TIGHT
    sides = ["" if any(_FIGURE.match(cell) for cell in column) else " class=words" for column in zip(*rows, strict=True)]
    sides = sides or [""] * len(head)
    body = "".join(
        f"<tr{mark}>{''.join(f'<td{side}>{_cell(cell, tight=tight)}</td>' for cell, side in zip(row, sides, strict=True))}</tr>"
        for row, mark in zip(rows, marks, strict=True)
    )
    header = "".join(f"<th{side}>{escape(cell)}</th>" for cell, side in zip(head, sides, strict=True))
    opening = "<table class=tight>" if tight else "<table>"
    return f'<div class="wide">{opening}<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, *, tight: bool) -> str:
    found = _BRACKETS.match(text)
    if found is None:
        return escape(text)
    below = escape(found[2] + found[3])
    return f"{escape(found[1])}<small>{below.replace('; ', ';<br>') if tight else below}</small>"


def strip(title: str, examples: Sequence[Example], *, good: bool) -> str:
    """Return pictures in a row under a title, or nothing without pictures."""
    if not examples:
        return ""
    kind = "good" if good else "bad"
    return f'<h3 class="{kind}">{escape(title)}</h3><div class="strip">{"".join(map(_picture, examples))}</div>'


def _picture(example: Example) -> str:
    buffer = io.BytesIO()
    image = Image.fromarray(example.pixels)
    image.thumbnail((2 * _EXAMPLE_PX, 2 * _EXAMPLE_PX))
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    caption = escape(example.caption)
    return f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
