"""`knockguard attack`: one extraction attack against a running endpoint, and what the copy is worth."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.base import Pool
from evaluation.attacks.registry import ATTACKS
from evaluation.authorisation import check_authorised
from evaluation.bootstrap import recovery_interval
from evaluation.ledger import discard
from evaluation.metrics import answer_counts, balanced_accuracy, by_class, fidelity, hits, net_recovery, recovery
from evaluation.models import architecture
from evaluation.replay import Budget, Campaign, replay
from evaluation.report_table import results_table
from evaluation.results import RESULTS, PolicyResult, Results, write_results
from evaluation.surrogate import Student, copy_victim
from evaluation.target import Target, answers, look_up
from evaluation.training import Training, predict
from evaluation.transfer import TransferSet, nothing_asked
from grpc_api.client import GuardClient
from guard.errors import ConfigError
from guard.settings import from_options
from guard.types import Floats, Pixels, Reporter
from knockguard.attack_images import left_apart, read_labelled, read_pool
from knockguard.attack_victim import MeasuredVictim, check_same, unguarded
from knockguard.console import Stages, note, out, warn
from knockguard.serving import parse_options

TRANSFER_SET, VICTIM = "transfer.npz", "victim.npz"


@dataclass(frozen=True, slots=True)
class AttackOptions:
    """What `knockguard attack` was asked for, see its help; `command` is what asks for it again."""

    command: str
    address: str
    pool: Path
    test: Path
    model: str
    out: Path
    attack: str
    attack_options: tuple[str, ...]
    adversary: str
    adversary_options: tuple[str, ...]
    queries: int
    limit: int
    epochs: int
    architecture: str
    bundle: Path | None
    api_key_file: Path | None
    authorised: str | None
    seed: int
    resume: bool
    force: bool


def attack_endpoint(options: AttackOptions, *, as_json: bool) -> None:
    """Measure the victim, ask, train a copy, measure it.

    A transfer set that an interrupted run left in the folder is gone on from, never asked again; one that another attack left is
    refused.
    """
    check_authorised(options.address, options.authorised)
    attack = from_options(ATTACKS.get(options.attack), parse_options(options.attack_options), what=f"attack {options.attack!r}")
    adversary = from_options(
        ADVERSARIES.get(options.adversary), parse_options(options.adversary_options), what=f"adversary {options.adversary!r}"
    )
    student = Student(architecture_name(options.architecture), Training(epochs=options.epochs))
    clients = [
        GuardClient(options.address, api_key=key) for key in _keys(options.api_key_file, adversary.name, n=adversary.n_clients)
    ]
    _check_room(options)

    stages = Stages(n_stages=5)
    target = asyncio.run(_look_up(clients[0], options.model))
    with stages.stage("reading the pool and the test images") as progress:
        pool, classes = read_pool(options.pool, target, limit=options.limit, progress=progress)
        test, labels = read_labelled(options.test, target, limit=options.limit, progress=progress)
    test, labels = left_apart(test, labels, pool)
    campaign = Campaign(attack, adversary, pool, options.seed, options.out / TRANSFER_SET, options.address)
    campaign.next_queries(nothing_asked(side=target.size, n_classes=target.n_classes))  # what the pool lacks is told here
    if (attack.needs_groups or attack.needs_inside) and classes:
        note(f"the pool's groups: {', '.join(f'{i} is {name}' for i, name in enumerate(classes))}")
    with stages.stage("measuring the victim"):
        served = asyncio.run(_as_customer(clients[0], target, test))
        own = unguarded(options.bundle, target, test) if options.bundle else None
        victim = MeasuredVictim(served, own, labels)
        victim.check()
        if options.force:
            _forget(options.out)
        check_same(options.out / VICTIM, served)
    with stages.stage(f"asking {options.queries} times") as progress:
        stolen = asyncio.run(_ask(clients, target, campaign, Budget(options.queries), progress))
    _warn(victim, stolen, pool, options)
    with stages.stage("training the copy") as progress:
        copy = copy_victim(stolen, adversary=adversary, student=student, seed=options.seed, progress=progress)
    with stages.stage("measuring the copy"):
        results = _results(options, victim, predict(copy, test), stolen, stages.seconds)
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


def _check_room(options: AttackOptions) -> None:
    """Make the folder; ConfigError if it holds results, and nothing says what is to become of them."""
    if (options.out / RESULTS).exists() and not (options.resume or options.force):
        raise ConfigError(
            f"{options.out / RESULTS} exists; give another folder, --resume to go on from its transfer set, "
            "or --force to ask anew"
        )
    options.out.mkdir(parents=True, exist_ok=True)


def _forget(folder: Path) -> None:
    """Remove what an attack left: it was paid for, so not before the next one is sure to ask."""
    discard(folder / TRANSFER_SET)
    for name in (VICTIM, RESULTS):
        (folder / name).unlink(missing_ok=True)


def _keys(path: Path | None, adversary: str, *, n: int) -> list[str | None]:
    """Return one API key for each of n clients, the lines of a file; all None without a file."""
    if path is None:
        if n > 1:
            warn(f"the {adversary} adversary asks from {n} connections without a key: to the gateway they are one client")
        return [None] * n
    try:
        keys = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read --api-key-file {path}: {error}") from None
    if len(keys) < n:
        raise ConfigError(
            f"--api-key-file {path} holds {len(keys)} keys, and the {adversary} adversary asks as {n} clients; "
            "put one on each line"
        )
    return [*keys[:n]]


async def _look_up(client: GuardClient, model: str) -> Target:
    async with client:
        return await look_up(client, model)


async def _ask(
    clients: Sequence[GuardClient], target: Target, campaign: Campaign, budget: Budget, progress: Reporter
) -> TransferSet:
    async with AsyncExitStack() as stack:
        for client in clients:
            await stack.enter_async_context(client)
        return await replay(clients, target, campaign, budget, progress=progress)


async def _as_customer(client: GuardClient, target: Target, images: Pixels) -> Floats:
    """Return the endpoint's answers (n, k) to images, as any customer gets them."""
    async with client:
        return await answers(client, target, images)


def _warn(victim: MeasuredVictim, stolen: TransferSet, pool: Pool, options: AttackOptions) -> None:
    """Say what makes the figures other than they seem."""
    if victim.unguarded is None and victim.accuracy <= victim.chance:
        warn(
            f"as it is served the victim is right in {victim.accuracy:.3f}, no better than chance: recovery is of what is "
            "served. With --bundle its own model is measured"
        )
    if len(stolen) < options.queries:
        warn(f"the attack asked {len(stolen)} of {options.queries}: it has nothing more to ask from {len(pool)} images")
    if refused := len(stolen) - _n_answered(stolen):
        warn(f"{refused} of {len(stolen)} queries were refused; nothing is learned from them")


def _n_answered(stolen: TransferSet) -> int:
    return int((stolen.answers.sum(axis=1) > 0).sum())


def _results(
    options: AttackOptions, victim: MeasuredVictim, copy: Floats, stolen: TransferSet, seconds: dict[str, float]
) -> Results:
    accuracy, copied = victim.accuracy, balanced_accuracy(copy, victim.labels)
    settings = {k: _plain(v) for k, v in asdict(options).items() if k not in ("command", "api_key_file")}
    return Results(
        command=options.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        victim=victim.result(),
        policies=(
            PolicyResult(
                policy="as served",
                surrogate_accuracy=copied,
                recovery=recovery(copied, accuracy),
                recovery_interval=recovery_interval(hits(copy, victim.labels), victim.hits, victim.labels, seed=options.seed),
                net_recovery=net_recovery(copied, accuracy, chance=victim.chance) if accuracy > victim.chance else None,
                fidelity=None if victim.unguarded is None else fidelity(copy, victim.unguarded),
                benign_accuracy=None if victim.unguarded is None else victim.benign_accuracy(),
                benign_interval=None if victim.unguarded is None else victim.benign_interval(),
                queries=len(stolen),
                attack=options.attack,
                adversary=options.adversary,
                answers=answer_counts(stolen.answers),
                recalls=by_class(copy, victim.labels),
            ),
        ),
        versions={name: version(name) for name in ("knockguard", "torch", "numpy")},
        seeds={"attack": options.seed},
        stage_seconds=dict(seconds),
        settings=settings | {"answered": _n_answered(stolen)},
    )


def _plain(value: object) -> JsonValue:
    """Return a setting as JSON has it."""
    if isinstance(value, tuple):
        return [str(v) for v in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
