"""Put a run's figures into the README: `python docs/readme_figures.py knockguard-demo`.

Reads results.json, writes docs/images/recovery.svg and what stands in README.md between marks: the headline above the commands,
the figures below them. Nothing there is typed by hand.
"""

import sys
from pathlib import Path

from evaluation.report_plots import recovery_plot
from evaluation.report_table import COLUMNS, policy_rows
from evaluation.report_text import cautions, certainty, flagged_in, flagged_out, headline, spread
from evaluation.results import Results, read_results
from guard.errors import InvalidInputError

ROOT = Path(__file__).parents[1]
IMAGE = "docs/images/recovery.svg"


def first(results: Results) -> str:
    """Return what a reader sees first: a run in a sentence, and its picture."""
    return f"**{headline(results)}**\n\n![Recovery by policy]({IMAGE})\n"


def figures(results: Results) -> str:
    """Return a run's table and what belongs to its figures."""
    lines = [COLUMNS, [":--", *["--:"] * (len(COLUMNS) - 1)], *policy_rows(results)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    detector, baseline = results.detector, results.baseline
    if detector is None or baseline is None:
        raise InvalidInputError("this run names no detector; give the results of `knockguard demo`")
    copies = "".join(f" Single copies behind {p.policy}: {spread(p)}." for p in results.policies if spread(p))
    note = (
        f"Victim {results.victim.accuracy:.3f} balanced accuracy, chance {results.victim.chance:.3f}. "
        f"The {detector.name} detector flags {flagged_out(detector)} of unseen out images, {flagged_in(detector)} of in images; "
        f"statistics that know nothing of content flag {flagged_out(baseline)} and {flagged_in(baseline)}.{copies} "
        f"{certainty(results)} Made by `{results.command}`, "
        f"knockguard {results.versions.get('knockguard', 'of unknown version')}."
    )
    doubts = "".join(f"\n- {caution}" for caution in cautions(results)) + "\n"
    return f"{table}\n\n{note}\n{doubts}"


def put(text: str, part: str, words: str) -> str:
    """Return the README with other words between the marks of a part; InvalidInputError if it has no such marks."""
    begin, end = f"<!-- {part}:begin: written by docs/readme_figures.py -->", f"<!-- {part}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise InvalidInputError(f"README.md lacks the marks {begin} and {end}; put them where the words go")
    return f"{before}{begin}\n{words}{end}{after}"


def picture(results: Results) -> str:
    """Return the plot as an SVG file on white, so that it can be read on a dark page too."""
    svg = recovery_plot(results)
    end = svg.index(">") + 1
    return f'{svg[:end]}<rect width="100%" height="100%" fill="#fff"/>{svg[end:]}'


def main(arguments: list[str]) -> int:
    """Write both files; returns 2 if not called with one path."""
    if len(arguments) != 1:
        print((__doc__ or "").partition("\n")[0], file=sys.stderr)
        return 2
    results = read_results(Path(arguments[0]))
    readme = ROOT / "README.md"
    text = put(readme.read_text(encoding="utf-8"), "headline", first(results))
    (ROOT / IMAGE).parent.mkdir(exist_ok=True)
    (ROOT / IMAGE).write_text(picture(results), encoding="utf-8")
    readme.write_text(put(text, "figures", figures(results)), encoding="utf-8")
    print(f"wrote README.md and {IMAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
