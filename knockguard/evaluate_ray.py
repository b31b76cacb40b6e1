"""An evaluation on a Ray cluster: each victim of each seed is a task of its own, wherever there is room for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from evaluation.evaluation_results import Evaluation, Failure
from evaluation.experiment_file import Experiment
from guard.errors import ConfigError
from knockguard.console import note, warn
from knockguard.evaluate_run import EvaluateOptions, Run

_CLOSING_S = 20.0


def on_ray(experiment: Experiment, options: EvaluateOptions, told: Callable[[Evaluation], None]) -> Evaluation:
    """Carry out every cell; `told` hears after every victim what is finished.

    RAY_ADDRESS names the cluster; without it one is started here, for as long as this takes. Data and folders must be the same
    ones on all machines: what is kept lies there, so that a run which is cut off goes on, on a cluster or without. A task takes a
    core, and a GPU where the cluster has any. ConfigError without Ray, or for a machine whose knockguard is another one.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--executor ray needs Ray; pip install 'knockguard[ray]' on every machine") from None
    placed = replace(
        options, data=options.data.resolve(), out=options.out.resolve(), victims=options.victims and options.victims.resolve()
    )
    whole = Run(experiment, options)
    ray.init(configure_logging=False, include_dashboard=False)
    try:
        resources = ray.cluster_resources()
        note(f"on {len(ray.nodes())} machines with {resources.get('CPU', 0):.0f} cores and {resources.get('GPU', 0):.0f} GPUs")
        task = ray.remote(num_cpus=1, num_gpus=int(resources.get("GPU", 0) > 0), max_retries=0)(_part)
        parts = {task.remote(part.model_dump_json(), placed, whole.code): part for part in split(experiment)}
        found: list[Evaluation] = []
        waiting = list(parts)
        try:
            while waiting:
                [done], waiting = ray.wait(waiting)
                found.append(_result(ray.get, done, parts[done]))
                told(merged(whole.so_far(), experiment, found))
        finally:
            for left in waiting:  # an interrupt, as Ctrl-C is: gateways end with their block
                ray.cancel(left)
            if waiting:
                ray.wait(waiting, num_returns=len(waiting), timeout=_CLOSING_S)
    finally:
        ray.shutdown()
    return merged(whole.so_far(), experiment, found)


def split(experiment: Experiment) -> list[Experiment]:
    """Return the experiment of each victim and seed by itself, in the grid's order."""
    return [
        experiment.model_copy(update={"victims": (victim,), "seeds": (seed,)})
        for victim, seed in product(experiment.victims, experiment.seeds)
    ]


def merged(frame: Evaluation, experiment: Experiment, found: Sequence[Evaluation]) -> Evaluation:
    """Return what was found in the frame of the whole: victims and cells in the grid's order."""
    cells = {c.id: c for e in found for c in e.cells}
    victims = {(v.name, v.seed): v for e in found for v in e.victims}
    order = [(victim.name, seed) for victim, seed in product(experiment.victims, experiment.seeds)]
    return frame.model_copy(
        update={
            "victims": tuple(victims[key] for key in order if key in victims),
            "cells": tuple(cells[c.id] for c in experiment.cells() if c.id in cells),
            "failures": tuple(f for e in found for f in e.failures),
            "seconds": {name: seconds for e in found for name, seconds in e.seconds.items()},
        }
    )


def _part(experiment: str, options: EvaluateOptions, code: str) -> str:
    """Carry out one part, on whatever machine this is."""
    run = Run(Experiment.model_validate_json(experiment), options)
    if run.code != code:
        raise ConfigError("a machine of the cluster has another knockguard than the one that started this; install the same")
    return run.evaluation(lambda _: None).model_dump_json()


def _result(get: Callable[[object], str], done: object, part: Experiment) -> Evaluation:
    """Return what a part found, or that all of its cells failed with the machine that had it."""
    try:
        return Evaluation.model_validate_json(get(done))
    except Exception as error:  # a worker that died, or a machine; whatever it is, it is told in the results
        told = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
        warn(f"{part.victims[0].name}, seed {part.seeds[0]}: {told}")
        return Evaluation.model_construct(
            victims=(), cells=(), failures=tuple(Failure(id=c.id, error=told) for c in part.cells()), seconds={}
        )
