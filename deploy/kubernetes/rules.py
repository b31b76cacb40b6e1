"""Write prometheusrule.yaml, the operator's form of ../prometheus/rules/: `python deploy/kubernetes/rules.py [--check]`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = sorted(
    (HERE.parent / "prometheus/rules").glob("*.yml"), reverse=True
)  # recording rules before the alerts that read them
TARGET = HERE / "prometheusrule.yaml"
HEAD = """\
# Written by deploy/kubernetes/rules.py from deploy/prometheus/rules/; change those. For the Prometheus operator.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: knockguard
  labels:
    app.kubernetes.io/name: knockguard
spec:
  groups:
"""


def rendered() -> str:
    """Return the object's text: the groups of all files, indented, comments included."""
    groups = ""
    for path in SOURCES:
        _, _, body = path.read_text(encoding="utf-8").partition("\ngroups:\n")
        groups += "".join(f"  {line}" if line.strip() else line for line in body.splitlines(keepends=True))
    return HEAD + groups


def main(arguments: list[str]) -> int:
    """Write the file, or with --check say whether it is current."""
    if arguments == ["--check"]:
        if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == rendered():
            return 0
        print(f"{TARGET.name} is not what the rules say; run python deploy/kubernetes/rules.py", file=sys.stderr)
        return 1
    TARGET.write_text(rendered(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
