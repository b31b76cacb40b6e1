"""Put a run's figures into the README: `python docs/readme_figures.py knockguard-demo`.

Reads results.json, writes docs/images/recovery.svg and what stands in README.md between the two `demo` marks. Nothing there is
typed by hand.
"""

import sys
from pathlib import Path

from evaluation.report_plots import recovery_plot
from evaluation.report_table import COLUMNS, policy_rows
from evaluation.report_text import cautions, certainty, flagged_in, flagged_out, headline, spread
from evaluation.results import Results, read_results
from guard.errors import InvalidInputError

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- demo:begin: written by docs/readme_figures.py -->", "<!-- demo:end -->"
IMAGE = "docs/images/recovery.svg"


def block(results: Results) -> str:
    """Return the README's words, picture and table for a run."""
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
    return f"**{headline(results)}**\n\n![Recovery by policy]({IMAGE})\n\n{table}\n\n{note}\n{doubts}"


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
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    (ROOT / IMAGE).parent.mkdir(exist_ok=True)
    (ROOT / IMAGE).write_text(picture(results), encoding="utf-8")
    readme.write_text(f"{before}{BEGIN}\n{block(results)}{END}{after}", encoding="utf-8")
    print(f"wrote README.md and {IMAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
