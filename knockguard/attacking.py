"""`knockguard attack`: one extraction attack against a running endpoint, and what the copy is worth."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Pool
from evaluation.attacks.registry import ATTACKS
from evaluation.authorisation import check_authorised
from evaluation.metrics import balanced_accuracy, fidelity, net_recovery, recovery
from evaluation.models import architecture
from evaluation.replay import Budget, Campaign, Target, look_up, replay
from evaluation.report_table import results_table
from evaluation.results import RESULTS, PolicyResult, Results, VictimResult, write_results
from evaluation.surrogate import Student, copy_victim
from evaluation.training import Training, predict
from evaluation.transfer import TransferSet
from grpc_api.client import GuardClient
from guard.errors import ConfigError, InvalidInputError
from guard.images import load
from guard.types import Floats, Ints, Pixels, Reporter
from knockguard.console import Stages, note, out


@dataclass(frozen=True, slots=True)
class AttackOptions:
    """What `knockguard attack` was asked for; see its help."""

    address: str
    pool: Path
    test: Path
    model: str
    out: Path
    attack: str
    adversary: str
    queries: int
    epochs: int
    architecture: str
    api_key_file: Path | None
    authorised: str | None
    seed: int
    force: bool


def attack_endpoint(options: AttackOptions, *, as_json: bool) -> None:
    """Ask, train a copy, measure it. A transfer set that an earlier run left in the folder is gone on from, never asked again."""
    check_authorised(options.address, options.authorised)
    attack, adversary = ATTACKS.get(options.attack)(), ADVERSARIES.get(options.adversary)()
    student = Student(architecture_name(options.architecture), Training(epochs=options.epochs))
    if (options.out / RESULTS).exists() and not options.force:
        raise ConfigError(f"{options.out / RESULTS} exists; give another folder, or --force to go on from its transfer set")
    options.out.mkdir(parents=True, exist_ok=True)
    key = _key(options.api_key_file)

    stages = Stages(n_stages=4)
    target = asyncio.run(_target(options, key))
    with stages.stage("reading the pool and the test images"):
        pool, _ = load(options.pool, target.size)
        test, labels = _labelled(options.test, target)
    budget = Budget(options.queries)
    campaign = Campaign(attack, Pool(pool), options.seed, options.out / "transfer.npz")
    with stages.stage(f"asking {options.queries} times") as progress:
        stolen = asyncio.run(_ask(_client(options, key), target, campaign, budget, progress))
        victim = asyncio.run(_as_customer(_client(options, key), target, test, budget))
    with stages.stage("training the copy") as progress:
        copy = copy_victim(stolen, adversary=adversary, student=student, seed=options.seed, progress=progress)
    with stages.stage("measuring"):
        results = _results(options, (victim, predict(copy, test), labels), n_queries=len(stolen), seconds=stages.seconds)
        write_results(results, options.out / RESULTS)
    if as_json:
        out.print_json(results.model_dump_json())
    else:
        out.print(results_table(results))
    note(f"wrote {options.out / RESULTS}; next: knockguard report {options.out}")


def architecture_name(name: str) -> str:
    """Return the name if there is such an architecture; ConfigError hears the nearest."""
    architecture(name)
    return name


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read --api-key-file {path}: {error}") from None


def _client(options: AttackOptions, key: str | None) -> GuardClient:
    """Return a client of its own for each event loop."""
    return GuardClient(options.address, api_key=key)


async def _target(options: AttackOptions, key: str | None) -> Target:
    async with _client(options, key) as client:
        return await look_up(client, options.model)


def _labelled(source: Path, target: Target) -> tuple[Pixels, Ints]:
    """Return test images whose classes, in sorted order, are the model's; numbers sort as numbers."""
    pixels, names = load(source, target.size)
    if None in names:
        raise InvalidInputError(f"{source}: test images need classes, one folder each or a 'label' column, to measure a copy on")
    known = sorted({str(n) for n in names}, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0, n))
    if len(known) != target.n_classes:
        raise InvalidInputError(f"{source} has {len(known)} classes and the model has {target.n_classes}; they must be the same")
    index = {name: i for i, name in enumerate(known)}
    return pixels, np.array([index[str(n)] for n in names], np.int64)


async def _ask(client: GuardClient, target: Target, campaign: Campaign, budget: Budget, progress: Reporter) -> TransferSet:
    async with client:
        return await replay(client, target, campaign, budget, progress=progress)


async def _as_customer(client: GuardClient, target: Target, images: Pixels, budget: Budget) -> Floats:
    """Return the endpoint's answers (n, k) to images, as any customer gets them."""
    async with client:
        batches = [images[i : i + budget.rows] for i in range(0, len(images), budget.rows)]
        return np.concatenate([a async for a in client.ask(target.model, target.input_name, batches)])


def _results(
    options: AttackOptions, measured: tuple[Floats, Floats, Ints], *, n_queries: int, seconds: dict[str, float]
) -> Results:
    victim, copy, labels = measured
    accuracy, copied = balanced_accuracy(victim, labels), balanced_accuracy(copy, labels)
    chance = 1 / victim.shape[1]
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items() if k != "api_key_file"}
    return Results(
        command=f"knockguard attack {options.address} --model {options.model} --queries {options.queries}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        victim=VictimResult(accuracy=accuracy, chance=chance, n_test=len(labels), architecture="as served, through its guard"),
        detector=None,
        baseline=None,
        policies=(
            PolicyResult(
                policy="as served",
                surrogate_accuracy=copied,
                recovery=recovery(copied, accuracy),
                net_recovery=net_recovery(copied, accuracy, chance=chance),
                fidelity=fidelity(copy, victim),
                queries=n_queries,
                attack=options.attack,
                adversary=options.adversary,
            ),
        ),
        versions={name: version(name) for name in ("knockguard", "torch", "numpy")},
        seeds={"attack": options.seed},
        stage_seconds=dict(seconds),
        settings=settings,
    )
