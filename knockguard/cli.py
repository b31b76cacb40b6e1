"""The command `knockguard`. Each command imports its room when it is called, so that help answers at once."""

import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from knockguard.admin_cli import admin
from knockguard.attack_cli import attack
from knockguard.cli_options import Executor, Force, Json, Seed, Victims, Where
from knockguard.export_cli import export
from knockguard.places import writable_file as _file
from knockguard.places import writable_folder as _folder
from knockguard.protect_cli import protect
from knockguard.serve_cli import serve

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Protects served image classifiers from model extraction, and measures how much a copier would recover.",
)

app.add_typer(admin, name="admin")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", "-o", callback=_folder, help="Where everything is written.")] = Path(
        "knockguard-demo"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Reuse nothing from an earlier run.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Tell the whole story on real images: train, protect, serve, attack, report. At most four minutes on two cores."""
    from knockguard.demo import run_demo

    run_demo(folder, seed=seed, fresh=fresh, as_json=json)


app.command()(protect)


@app.command()
def audit(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    inside: Annotated[Path, typer.Option("--in", help="The victim's own kind of images, none of which made the bundle.")],
    pool: Annotated[
        list[Path],
        typer.Option("--pool", "--pools", help="Public images of other kinds, or the word synthetic; once for each pool."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=_folder, help="Folder for audit.json, audit.md and audit.html.")
    ] = Path("audit"),
    limit: Annotated[int, typer.Option(min=50, help="The most images read from each source.")] = 2_000,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Say what a bundle's detectors see on your images, and how much of it is more than file format."""
    from knockguard.audit import AuditOptions, audit_files
    from knockguard.exits import ANSWER_IS_NO

    if not audit_files(AuditOptions(bundle, inside, tuple(pool), out, limit, seed, force), as_json=json):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="An experiment file that names victims and detectors.")],
    data: Annotated[Path, typer.Option(help="The folder that holds the image sets.", envvar="KNOCKGUARD_DATA")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=_folder, help="Folder for victims, study.json and study.md.")
    ] = Path("study"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is measured already.")] = False,
    json: Json = False,
) -> None:
    """Measure detectors on real image sets, by rules under which file format earns nothing."""
    from knockguard.study import StudyOptions, study_file

    study_file(StudyOptions(file, data, out, fresh), as_json=json)


@app.command()
def recalibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    scores: Annotated[
        Path, typer.Option(help="Logged scores of honest queries: .jsonl, .csv or .parquet, or the audit log's folder.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", callback=_folder, help="The new bundle's folder.")],
    target_fpr: Annotated[
        float | None, typer.Option(help="Share of honest queries flagged, at most; as before by default.")
    ] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only rows of this tenant; give it several times for several.")] = None,
    version: Annotated[str | None, typer.Option(help="The new bundle's version, a number; as before by default.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take a bundle's thresholds anew, from scores logged while it served; the model stays as it is."""
    from knockguard.recalibrating import RecalibrateOptions, recalibrate_files

    options = RecalibrateOptions(bundle, scores, out, target_fpr, tuple(tenant or ()), version, force)
    recalibrate_files(options, as_json=json)


app.command()(serve)


app.command()(export)


app.command()(attack)


@app.command()
def evaluate(
    experiment: Annotated[Path, typer.Argument(help="An experiment file, such as experiments/cpu/cifar10.toml.")],
    data: Annotated[Path, typer.Option(help="The folder of image sets: Parquet, or as their authors publish them.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=_folder, help="Folder for results, report, and what is kept to go on from.")
    ] = Path("evaluation"),
    victims: Victims = None,
    executor: Where = Executor.HERE,
    fresh: Annotated[bool, typer.Option("--fresh", help="Reuse nothing from an earlier run.")] = False,
    json: Json = False,
) -> None:
    """Carry out an experiment file: train, protect, serve, attack, copy, measure, and report beside the paper's figures."""
    from knockguard.evaluating import EvaluateOptions, evaluate_file

    if not evaluate_file(EvaluateOptions(experiment, data, out, fresh, victims), executor, as_json=json):
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.json, or the folder that holds it.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", callback=_file, help="Where the page is written; beside the results by default.")
    ] = None,
) -> None:
    """Print the table of a run again, and write its HTML page anew."""
    from knockguard.reporting import write_again

    write_again(results, out)


@app.command()
def secret(path: Annotated[Path, typer.Argument(callback=_file, help="The file to write, readable by its owner alone.")]) -> None:
    """Write a fresh secret for policies that need one."""
    from guard.secret import write_secret
    from knockguard.console import note

    made = write_secret(path)
    note(f"wrote {path}, secret id {made.id}; give it to every replica: knockguard serve BUNDLE --secret-file {path}")


@app.command(name="list")
def list_plugins() -> None:
    """List detectors, policies, attacks and adversaries by name."""
    from knockguard.listing import print_families

    print_families()


def main() -> None:
    """Run a command; an error becomes one line and an exit code, an interrupt leaves quietly."""
    # Before PyTorch loads OpenMP: threads that wait by spinning slow each other down tenfold when anything else wants the cores
    # (measured on two: 6.4 s became 0.7 s beside other work, and alone nothing was lost).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # gRPC's core writes to stderr by itself, a line for each stranger whose handshake fails; before it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    signal.signal(signal.SIGTERM, _interrupt)  # so that a service manager's stop leaves no process and no half file either
    # Pillow's remarks on files that it reads nevertheless; what it cannot read is told by `guard.images`.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except Exception as error:
        from knockguard.console import fail
        from knockguard.exits import DEBUG, ending

        message, code = ending(error)
        if os.environ.get(DEBUG):
            traceback.print_exc()
        fail(message)
        sys.exit(code)
    except KeyboardInterrupt:
        from knockguard.exits import INTERRUPTED

        sys.exit(INTERRUPTED)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
