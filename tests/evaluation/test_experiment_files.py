"""Every experiment that the project ships can be read, and names only what there is."""

import tomllib
from pathlib import Path

import pytest
from small_experiment import small

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.experiment_names import problems
from evaluation.experiment_reading import read_experiment
from evaluation.paper_figures import TABLES, figure
from guard.errors import ConfigError
from guard.policies.registry import POLICIES
from guard.types import ApplyTo

ROOT = Path(__file__).parents[2] / "experiments"
FILES = sorted(ROOT.rglob("*.toml"))
SHARED = ("base", "detection")
WHOLE = [p for p in FILES if p.stem not in SHARED]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WHOLE, ids=label)
def test_file_is_read_and_its_cells_have_names_of_their_own(path: Path) -> None:
    experiment = read_experiment(path)
    cells = list(experiment.cells())
    assert len({cell.id for cell in cells}) == len(cells)
    assert cells or experiment.detectors
    assert experiment.differs


@pytest.mark.parametrize("path", WHOLE, ids=label)
def test_file_names_only_what_is_registered(path: Path) -> None:
    experiment = read_experiment(path)
    assert problems(experiment, served=bool(experiment.budgets)) == []


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in SHARED], ids=label)
def test_shared_file_is_extended_by_others(path: Path) -> None:
    assert any(tomllib.loads(p.read_text()).get("extends") == path.name for p in path.parent.glob("*.toml"))


def test_every_table_of_the_paper_has_an_experiment_at_both_scales() -> None:
    printed = {f for p in (ROOT / "paper").glob("*.toml") if p in WHOLE for f in read_experiment(p).figures}
    assert printed == set(TABLES) - {"table1"}  # the data sets themselves: a table of counts
    small_scale = {f for p in (ROOT / "cpu").glob("*.toml") if p in WHOLE for f in read_experiment(p).figures}
    assert {"table2", "table3", "table4-imagenet", "table5", "table6", "table7", "figure1", "section5.4"} <= small_scale


@pytest.mark.parametrize("path", [p for p in WHOLE if p.parent.name == "paper"], ids=label)
def test_victims_of_the_paper_are_rows_of_its_tables(path: Path) -> None:
    experiment = read_experiment(path)
    for table in experiment.figures:
        if table.startswith("table") and table != "table3":  # whose rows are detectors
            assert {v.name for v in experiment.victims} <= TABLES[table].keys()


def test_paper_victims_are_trained_as_the_paper_says() -> None:
    table2 = read_experiment(ROOT / "paper" / "table2.toml")
    for network, lr, epochs in ((table2.victims[0], 0.1, 200), (table2.surrogates[0], 0.01, 100)):
        plan = network.training
        assert (plan.optimiser, plan.lr, plan.epochs, plan.drop_every, plan.drop_to) == ("sgd", lr, epochs, 60, 0.1)
        assert (network.architecture, network.weights) == ("resnet34", "imagenet")
    layers5 = read_experiment(ROOT / "paper" / "table6.toml").victims[1]
    assert (layers5.name, layers5.size, layers5.weights, layers5.training.optimiser) == ("GTSRB-5L", 32, "none", "adam")
    assert (layers5.training.lr, layers5.training.drop_every, layers5.training.drop_to) == (0.001, 100, 0.5)


@pytest.mark.parametrize("path", [p for p in WHOLE if p.parent.name == "paper"], ids=label)
def test_paper_file_fits_detectors_on_all_of_their_side_and_else_gives_the_victim_everything(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.pool.n_fit == 90_000
    assert all((v.shares.victim == 1) == (not experiment.detectors) for v in experiment.victims)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"detectors": ["energy"]}, "no images to fit or to calibrate"),
        ({"chain": {"matched": True}}, "the matched chain is made from V's share"),
    ],
)
def test_share_of_nothing_is_refused_where_something_is_needed(changes: dict[str, object], said: str) -> None:
    everything = {"victim": 1.0, "detector": 0.0, "calibration": 0.0}
    plain = {"victim": {"shares": everything}, "chain": {"matched": False}}
    assert small(**plain).victims[0].shares.victim == 1
    with pytest.raises(ConfigError, match=said):
        small(**(plain | changes))


@pytest.mark.parametrize("path", [p for p in WHOLE if p.parent.name == "cpu"], ids=label)
def test_cpu_file_splits_its_pool_by_class_matches_the_chain_and_trains_within_minutes(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.pool.by == "classes"
    assert experiment.chain.matched is (path.stem != "as-they-come")  # which is there to show what it does
    for victim in experiment.victims:
        assert victim.n_train is not None
        passes = victim.n_train * victim.shares.victim * victim.training.epochs
        assert passes <= (
            60_000 if victim.weights == "imagenet" else 300_000
        )  # four minutes at 250 images/s; a small CNN is faster
    for surrogate in experiment.surrogates:
        assert max(experiment.budgets) * surrogate.training.epochs <= 100_000


def test_seven_policies_meet_five_attacks_each_with_its_customary_adversary_and_some_with_another() -> None:
    experiment = read_experiment(ROOT / "cpu" / "attacks.toml")
    assert (len(experiment.policies), len(experiment.attacks), len(list(experiment.cells()))) == (7, 5, 56)
    thieves = {(cell.attack.name, cell.adversary.name) for cell in experiment.cells()}
    assert thieves == {
        ("knockoff", "soft"),
        ("knockoff", "noise-corrected"),
        ("knockoff-adaptive", "soft"),
        ("knockoff-adaptive", "labels-only"),
        ("activethief-kcenter", "soft"),
        ("activethief-kcenter", "labels-only"),
        ("copycat", "labels-only"),
        ("jbda", "labels-only"),
    }
    for policy in experiment.policies:  # what a policy's docstring says of where it is to stand
        told = POLICIES.get(policy.name).__doc__ or ""
        assert (policy.apply_to is ApplyTo.ALL) >= ("let the policy stand on all rows" in told), policy.name


def test_quota_bites_until_there_are_identities_enough() -> None:
    experiment = read_experiment(ROOT / "cpu" / "quota.toml")
    asked = {}
    for cell in experiment.cells():
        adversary = ADVERSARIES.get(cell.adversary.name)(**cell.adversary.options)
        asked[cell.adversary.label] = experiment.limits.queries(cell.budget, n_clients=adversary.n_clients)
    assert asked == {"soft": 500, "sybil-identities=2": 1000, "sybil-identities=4": 2000}
    assert small().limits.queries(100, n_clients=1) == 100


def test_each_attack_meets_whom_it_names_else_whom_the_file_names_else_its_customary_adversary() -> None:
    def thieves(**changes: object) -> list[tuple[str, str]]:
        return [(cell.attack.name, cell.adversary.name) for cell in small(**changes).cells()]

    attacks = ["knockoff", "copycat", {"name": "jbda", "adversaries": ["sybil"]}]
    assert thieves() == [("knockoff", "soft")]
    assert thieves(attacks=attacks) == [("knockoff", "soft"), ("copycat", "labels-only"), ("jbda", "sybil")]
    named = thieves(attacks=attacks[1:], adversaries=["averaging"])
    assert named == [("copycat", "averaging"), ("jbda", "sybil")]


def test_recoveries_of_the_paper_are_the_ratios_of_its_accuracies() -> None:
    columns = {
        "table2": [("surrogate", "recovery"), ("surrogate_orekondy", "recovery_orekondy")],
        "table5": [("surrogate_undefended", "recovery_undefended"), ("surrogate_defended", "recovery_defended")],
        "table6": [("surrogate_rn34", "recovery_rn34"), ("surrogate_vgg16", "recovery_vgg16")],
        "table7": [("surrogate_full_vector", "recovery_full_vector"), ("surrogate_label_only", "recovery_label_only")],
    }
    for table, pairs in columns.items():
        for row, cells in TABLES[table].items():
            for surrogate, recovery in pairs:
                if recovery in cells:
                    victim = cells["victim_orekondy" if recovery.endswith("orekondy") else "victim"]
                    assert cells[surrogate] / victim == pytest.approx(cells[recovery], abs=0.016), (table, row)
    assert figure("table5", "CIFAR10-RN34", "recovery_defended") == 0.03
    assert figure("table2", "GTSRB-RN34", "recovery_orekondy") is None


def test_what_all_victims_share_is_written_once() -> None:
    experiment = small(victims=[{"name": "A"}, {"name": "B", "training": {"lr": 0.5}}])
    assert [v.name for v in experiment.victims] == ["A", "B"]
    assert (experiment.victims[1].training.epochs, experiment.victims[1].training.lr) == (1, 0.5)


@pytest.mark.parametrize("matched", [True, False])
def test_what_the_matched_chain_makes_different_is_told_where_it_stands(*, matched: bool) -> None:
    told = small(figures=["table5"], differs=["a"], chain={"matched": matched}).differs
    assert (told[0], len(told), "matched chain" in told[-1]) == ("a", 1 + matched, matched)


def test_own_kinds_of_a_set_are_written_once() -> None:
    own = {"cifar10": ["n02084071"], "gtsrb": ["n06794110"]}
    experiment = small(own_kinds=own, victims=[{"name": "A"}, {"name": "B", "own_kinds": []}, {"name": "C", "set": "caltech101"}])
    assert [v.own_kinds for v in experiment.victims] == [("n02084071",), (), ()]


def test_extended_file_is_laid_over_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'title = "base"\ndiffers = ["a"]\nbudgets = [5]\n'
        '[victim]\nname = "V"\nset = "gtsrb"\nsize = 32\narchitecture = "cnn-small"\n'
        'training = { epochs = 3, lr = 0.5 }\n[surrogate]\nname = "S"\narchitecture = "cnn-small"\ntraining = { epochs = 1 }\n'
    )
    (tmp_path / "x.toml").write_text(
        'extends = "base.toml"\nbudgets = [7]\ndiffers = ["b"]\nvictim = { training = { epochs = 4 } }\n'
    )
    experiment = read_experiment(tmp_path / "x.toml")
    assert (experiment.title, experiment.budgets, experiment.differs) == ("base", (7,), ("a", "b"))
    assert (experiment.victims[0].training.epochs, experiment.victims[0].training.lr) == (4, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "x.toml"', "look for a circle"),
        ('extends = "/etc/x.toml"', "relative to this one"),
        ('extends = "none.toml"', r"cannot read .*none\.toml"),
        ("title = ", "is no TOML"),
    ],
)
def test_file_that_cannot_be_read_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_experiment(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": [5]}, "did you mean 'budgets'"),
        ({"victim": {"training": {"epoch": 5}}}, "did you mean 'epochs'"),
        ({"pool": {"sett": "x"}}, "did you mean 'set'"),
        ({"budgets": [100, 5]}, "ascending"),
        ({"budgets": []}, "go together"),
        ({"policies": ["shuffle"]}, "no detector to flag any"),
        ({"victims": [{}, {}]}, "two cells of the grid are the same"),
        ({"victim": {"shares": {"victim": 0.9}}}, "at most 1"),
        ({"victim": {"name": "../x"}}, "name"),
        ({"chain": {"quality_low": 95, "quality_high": 70}}, "above quality_high"),
        ({"victims": "all"}, "a list of tables"),
        ({"own_kinds": ["n02084071"]}, "by set"),
        ({"own_kinds": {"cifar": ["n02084071"]}}, "no dataset is called 'cifar'"),
        ({"own_kinds": {"cifar10": ["dog"]}}, "own_kinds"),
        ({"limits": {"rows_per_clients": 5}}, "did you mean 'rows_per_client'"),
        ({"limits": {"rows_per_client": 0}}, "rows_per_client"),
        ({"own_kinds": {"cifar10": []}, "victim": {"set": ["cifar10"]}}, "set: Input should be a valid string"),
    ],
)
def test_mistake_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


def test_observe_stands_once_and_other_policies_with_every_detector() -> None:
    experiment = small(detectors=["energy", "msp"], policies=["observe", "shuffle", {"name": "label-only", "apply_to": "all"}])
    kinds = [(c.policy.name, c.detector.name if c.detector else None) for c in experiment.cells()]
    assert kinds == [("observe", "energy"), ("shuffle", "energy"), ("shuffle", "msp"), ("label-only", "energy")]
    assert experiment.policies[2].apply_to is ApplyTo.ALL
