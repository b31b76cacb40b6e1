"""`knockguard evaluate`: an experiment file carried out, from training its victims to a report beside the paper's figures."""

from itertools import product

from evaluation.evaluation_page import PAGE, write_pages
from evaluation.evaluation_results import EVALUATION, Evaluation, write_evaluation
from evaluation.evaluation_tables import table
from evaluation.evaluation_words import headline
from evaluation.experiment_file import Experiment
from evaluation.experiment_names import check_names
from evaluation.experiment_reading import read_experiment
from guard.errors import ConfigError
from knockguard.cli_options import Executor
from knockguard.console import note, out, warn
from knockguard.evaluate_ray import on_ray
from knockguard.evaluate_run import KEPT, EvaluateOptions, Run
from knockguard.evaluate_victim import victim_stage

__all__ = ["EvaluateOptions", "evaluate_file"]


def evaluate_file(options: EvaluateOptions, executor: Executor = Executor.HERE, *, as_json: bool) -> bool:
    """Carry out every cell, write results.json, report.html and report.md, print the table; return whether no cell failed."""
    experiment = read_experiment(options.file)
    check_names(experiment, served=True)
    if not options.data.is_dir():
        raise ConfigError(f"--data {options.data} is no folder; it must hold the image sets that the file names")
    if options.fresh:
        _forget(experiment, options)
    for folder in {options.out / KEPT, options.victims or options.out / KEPT}:
        folder.mkdir(parents=True, exist_ok=True)

    def told(evaluation: Evaluation) -> None:
        write_evaluation(evaluation, options.out / EVALUATION)  # whoever stops the run has what there is

    evaluation = on_ray(experiment, options, told) if executor is Executor.RAY else Run(experiment, options).evaluation(told)
    told(evaluation)
    write_pages(evaluation, options.out / PAGE)
    if as_json:
        out.print_json(evaluation.model_dump_json())
    else:
        out.print(table(evaluation))
        out.print(headline(evaluation), markup=False)
    for failure in evaluation.failures:
        warn(f"no result for {failure.id}: {failure.error}")
    note(f"wrote {options.out / EVALUATION}, report.html and report.md in {options.out}")
    return not evaluation.failures


def _forget(experiment: Experiment, options: EvaluateOptions) -> None:
    """Remove what earlier runs kept here, and of the victims that experiments share those that this one names."""
    for path in (options.out / KEPT).glob("*.np*"):
        path.unlink()
    for victim, seed in product(experiment.victims, experiment.seeds):
        for path in (options.victims or options.out / KEPT).glob(f"{victim_stage(victim, seed)}-*.npz"):
            path.unlink()
