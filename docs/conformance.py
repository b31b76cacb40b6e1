"""Lead every client through the protocol's claims, print the counts, and write the table: `python docs/conformance.py`.

The claims and the clients are those of `tests/grpc_api/conformance`. MLServer's and KServe's run in environments of their own:
`eval "$(tests/exporters/make_peers.sh FOLDER)"` makes them. Needs openssl. Half a minute.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from generate import table

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "grpc_api"), str(TESTS / "grpc_api/conformance")]

from authority import Authority  # noqa: E402  # of the tests, which are no package
from claims import CLAIMS, outcomes  # noqa: E402
from led import CLIENTS, PEERS, TLS_CLIENTS, led_elsewhere  # noqa: E402
from tiny_bundle import write_tiny  # noqa: E402

from knockguard.gateway_process import gateway  # noqa: E402

PAGE = Path(__file__).parent / "generated" / "conformance.md"
MARKS = {"held": "yes", "cannot": "-", "failed": "**no**"}
Found = Mapping[str, Mapping[str, str]]  # client -> claim -> outcome


def led(folder: Path) -> Found:
    """Return what each client found, at one gateway in the clear and one with TLS."""
    bundle = write_tiny(folder / "tiny")
    found: dict[str, Mapping[str, str]] = {}
    with gateway(bundle, log=folder / "log", arguments=["--policy", "label-only"]) as served:
        for name, opened in CLIENTS.items():
            with opened(served.address) as client:
                found[name] = outcomes(client)
        for name, (kind, variable) in PEERS.items():
            found[name] = led_elsewhere(os.environ[variable], kind, served.address)
    authority = Authority(folder)
    pair = authority.sign("server", "IP:127.0.0.1")
    settings = folder / "settings.toml"
    settings.write_text(f'policy = "label-only"\n[tls]\ncertificate_file = "{pair.certificate}"\nkey_file = "{pair.key}"\n')
    with gateway(bundle, log=folder / "log-tls", arguments=["--config", str(settings)]) as served:
        for name, opened in TLS_CLIENTS.items():
            with opened(served.address, authority.own.certificate) as client:
                found[name] = outcomes(client)
    return found


def releases() -> Mapping[str, str]:
    """Return the release of each client that is not our own."""
    ask = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    made = dict.fromkeys([name for name in (*CLIENTS, *TLS_CLIENTS) if "triton" in name], version("tritonclient"))
    for name, (kind, variable) in PEERS.items():
        done = subprocess.run([os.environ[variable], "-c", ask, kind], capture_output=True, text=True, check=True)
        made[name] = done.stdout.strip()
    return made


def counts(found: Found) -> str:
    """Return one row a client: what held, what it cannot ask and why, what failed."""
    known, rows = releases(), []
    for name, by_claim in found.items():
        count = Counter(outcome.partition(":")[0] for outcome in by_claim.values())
        reasons = sorted({outcome.removeprefix("cannot: ") for outcome in by_claim.values() if outcome.startswith("cannot")})
        rows.append(
            (
                name,
                known.get(name, "ours"),
                *(str(count[kind]) for kind in ("held", "failed", "cannot")),
                "; ".join(reasons) or "-",
            )
        )
    return table(("client", "release", "held", "failed", "cannot be asked", "why not"), rows)


def by_claim(found: Found) -> str:
    """Return one row a claim: what each client found."""
    rows = [(claim, *(MARKS[outcomes[claim].partition(":")[0]] for outcomes in found.values())) for claim in CLAIMS]
    return table(("claim", *found), rows)


def main() -> int:
    """Print the counts and write the page; 1 if a claim failed, or a client is not here."""
    if missing := [variable for _, variable in PEERS.values() if variable not in os.environ]:
        print(f"{', '.join(missing)} not set; tests/exporters/make_peers.sh makes these environments", file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder:
        found = led(Path(folder))
    summary = counts(found)
    print(summary)
    failed = [(name, claim, o) for name, claims in found.items() for claim, o in claims.items() if o.startswith("failed")]
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        return 1
    PAGE.write_text(f"{summary}\n{by_claim(found)}", encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(CLAIMS)} claims, {len(found)} clients")
    return 0


if __name__ == "__main__":
    sys.exit(main())
