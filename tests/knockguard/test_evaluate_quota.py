"""`knockguard evaluate` where clients may ask so much and no more: k identities are answered k times as much."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from miniature_sets import write_sets
from tiny_bundle import write_tiny

from evaluation.client_limits import ClientLimits
from evaluation.evaluation_results import CellResult, Evaluation, read_evaluation
from evaluation.experiment_file import Policy
from evaluation.target import Pace, answers, look_up
from grpc_api.client import GuardClient
from guard.errors import QuotaExceededError
from guard.types import Floats
from knockguard.evaluate_serving import Clients, Endpoint, served
from knockguard.evaluating import EvaluateOptions, evaluate_file

FILE = """
title = "Quota"
detectors = ["linear-late"]
target_fpr = 0.1
budgets = [12, 60]
policies = ["observe", "refuse"]
adversaries = ["soft", { name = "sybil", options = { identities = 2 } }, "sybil"]
[limits]
rows_per_client = 20
[victim]
name = "Discs"
set = "cifar10"
architecture = "cnn-small"
size = 24
n_train = 500
shares = { victim = 0.3, detector = 0.2, calibration = 0.5 }
training = { epochs = 6 }
[surrogate]
name = "S"
architecture = "cnn-small"
training = { epochs = 1 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quota")
    (root / "data").mkdir()
    write_sets(root / "data", n_train=500, n_test=60)
    return root


def carry_out(folder: Path, file: str = FILE) -> Evaluation:
    (folder / "quota.toml").write_text(file)
    assert evaluate_file(EvaluateOptions(folder / "quota.toml", folder / "data", folder / "out", fresh=False), as_json=True)
    return read_evaluation(folder / "out")


@pytest.fixture(scope="module")
def carried_out(folder: Path) -> Evaluation:
    return carry_out(folder)


def of_budget(evaluation: Evaluation, policy: str, budget: int = 60) -> dict[str, CellResult]:
    return {c.adversary: c for c in evaluation.cells if (c.policy, c.budget) == (policy, budget)}


@pytest.mark.slow
def test_each_identity_asks_as_much_as_it_may_and_the_copy_learns_from_that(carried_out: Evaluation) -> None:
    observed = of_budget(carried_out, "observe")
    assert {name: c.n_asked for name, c in observed.items()} == {"soft": 20, "sybil-identities=2": 40, "sybil": 60}
    assert all(c.n_answered == c.n_asked for c in observed.values())
    assert {c.n_asked for c in of_budget(carried_out, "observe", 12).values()} == {12}


@pytest.mark.slow
def test_refused_rows_are_asked_once(carried_out: Evaluation) -> None:
    """A request of many rows would be refused whole, counted, and asked again."""
    refused = of_budget(carried_out, "refuse")
    assert [c.n_asked for c in refused.values()] == [20, 40, 60]
    assert all(c.n_answered == c.n_asked - (c.n_flagged or 0) < c.n_asked for c in refused.values())


@pytest.mark.slow
def test_customer_is_not_limited(carried_out: Evaluation) -> None:
    [victim] = carried_out.victims
    assert victim.n_test == 60
    for c in of_budget(carried_out, "observe").values():
        assert c.benign_accuracy == pytest.approx(victim.accuracy, abs=0.02)


@pytest.mark.slow
def test_report_says_what_a_client_may_ask(carried_out: Evaluation, folder: Path) -> None:
    assert "may ask about 20 images and no more" in (folder / "out" / "report.md").read_text()
    assert carried_out.settings["limits"] == {"rows_per_client": 20}


@pytest.mark.slow
def test_cells_under_another_limit_are_not_taken_for_finished(
    carried_out: Evaluation, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert carry_out(folder).cells == carried_out.cells
    assert "12 of 12 cells were finished before" in capsys.readouterr().err
    wider = carry_out(folder, FILE.replace("rows_per_client = 20", "rows_per_client = 25").replace(', "refuse"', ""))
    assert "were finished before" not in capsys.readouterr().err
    assert [c.n_asked for c in of_budget(wider, "observe").values()] == [25, 50, 60]


def test_gateway_holds_a_client_to_its_limit_and_nobody_else(tmp_path: Path) -> None:
    bundle, images = write_tiny(tmp_path / "tiny"), np.zeros((12, 4, 4, 3), np.uint8)

    async def ask(endpoint: Endpoint, key: int, n: int) -> Floats:
        async with GuardClient(endpoint.address, api_key=endpoint.keys[key]) as client:
            return await answers(client, await look_up(client, "tiny"), images[:n], pace=Pace(1, 4))

    clients = Clients(2, ClientLimits(rows_per_client=5))
    with served(bundle, Policy(name="observe"), clients, seed=0, log=tmp_path / "log") as endpoint:
        assert len(asyncio.run(ask(endpoint, 1, 5))) == 5
        with pytest.raises(QuotaExceededError, match="5 rows of 5"):
            asyncio.run(ask(endpoint, 1, 1))
        assert len(asyncio.run(ask(endpoint, 2, 5))) == 5
        assert len(asyncio.run(ask(endpoint, 0, 12))) == 12
