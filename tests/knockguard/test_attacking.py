"""`knockguard attack` against a real gateway: what it asks, what it keeps, and what it refuses to do."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from attack_scene import ASKED, N_QUERIES, N_TEST, Scene
from miniature import Done, InProcess, discs, listing, save, stripes
from PIL import Image

from evaluation.ledger import read_transfer_set
from evaluation.results import read_results
from knockguard.gateway_process import gateway


def test_attack_asks_its_budget_and_the_test_images_and_no_more(attacked: tuple[Done, Path, int]) -> None:
    done, out, asked = attacked
    assert done.code == 0, done.err
    assert asked == N_QUERIES + N_TEST
    assert listing(out) == {"results.json", "transfer.npz", "victim.npz"}
    assert done.err.splitlines()[-1].endswith(f"next: knockguard report {out}")


def test_results_say_what_was_measured(attacked: tuple[Done, Path, int]) -> None:
    done, out, _ = attacked
    document = json.loads(done.out)
    results = read_results(out)
    assert document == json.loads((out / "results.json").read_text())
    (policy,) = results.policies
    assert (policy.policy, policy.queries, policy.attack, policy.adversary) == ("as served", N_QUERIES, "knockoff", "soft")
    assert results.victim.accuracy > 0.9
    assert policy.recovery == pytest.approx(policy.surrogate_accuracy / results.victim.accuracy)
    assert (policy.flagged, results.detector) == (None, None)  # an adversary sees neither
    assert (policy.fidelity, results.victim.through_guard) == (None, True)  # nor the victim without its guard
    assert results.settings["authorised"] is None


def test_transfer_set_holds_the_pools_images_and_the_gateways_answers(attacked: tuple[Done, Path, int], scene: Scene) -> None:
    stolen = read_transfer_set(attacked[1] / "transfer.npz")
    assert len(stolen) == len(set(stolen.queries.sources.tolist())) == N_QUERIES
    np.testing.assert_allclose(stolen.answers.sum(axis=1), 1, atol=1e-5)


def test_second_run_says_what_it_is_to_do_with_the_first(
    attacked: tuple[Done, Path, int], scene: Scene, tmp_path: Path, knockguard: InProcess
) -> None:
    out = shutil.copytree(attacked[1], tmp_path / "attack")
    first = read_transfer_set(out / "transfer.npz")
    refused = knockguard(*scene.words(out))
    assert (refused.code, "--resume" in refused.words, "--force" in refused.words) == (2, True, True)

    before = scene.asked()
    assert knockguard(*scene.words(out, "--resume", "--queries", N_QUERIES + 8)).code == 0
    assert scene.asked() - before == N_TEST + 8
    longer = read_transfer_set(out / "transfer.npz")
    np.testing.assert_array_equal(longer.first(N_QUERIES).answers, first.answers)
    assert knockguard(*scene.words(out, "--force")).code == 0
    assert scene.asked() - before == 2 * N_TEST + N_QUERIES + 8


OTHERWISE: dict[str, tuple[list[str], str]] = {
    "attack": (["--attack", "mixture"], "attack knockoff {}, and now it is mixture {"),
    "adversary": (["--adversary", "averaging"], "adversary asks plainly, and now it is averaging"),
    "seed": (["--seed", "1"], "seed 0, and now it is 1"),
    "pool": (["--limit", "100"], "pool of 300 images"),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_transfer_set_of_another_attack_is_not_gone_on_from(
    case: str, attacked: tuple[Done, Path, int], scene: Scene, tmp_path: Path, knockguard: InProcess
) -> None:
    given, told = OTHERWISE[case]
    out = shutil.copytree(attacked[1], tmp_path / "attack")
    (out / "results.json").unlink()
    (out / "victim.npz").unlink()
    done = knockguard(*scene.words(out, *given))
    assert done.code == 2, done.err
    assert [piece for piece in (told, "--force", "transfer.npz") if piece not in done.words] == [], done.words
    assert read_transfer_set(out / "transfer.npz").answers.shape == (N_QUERIES, 3)


def test_attack_does_not_go_on_at_another_address_or_behind_another_policy(
    attacked: tuple[Done, Path, int], scene: Scene, bundle: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    out = shutil.copytree(attacked[1], tmp_path / "attack")
    arguments = ["--policy", "label-only", "--apply-to", "all"]
    with gateway(bundle, log=tmp_path / "log", arguments=arguments) as running:
        behind = knockguard(*scene.words(out, "--resume", address=running.address))
        (out / "victim.npz").unlink()
        elsewhere = knockguard(*scene.words(out, "--resume", address=running.address))
        assert running.counter(ASKED) == 2 * N_TEST
    assert (behind.code, "its policy is another one" in behind.words) == (2, True)
    assert (elsewhere.code, f"now it is {running.address}" in elsewhere.words) == (2, True)


def test_foreign_file_in_its_place_is_named(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    np.savez(tmp_path / "transfer.npz", pixels=np.zeros(3))
    done = knockguard(*scene.words(tmp_path))
    assert (done.code, "holds no transfer set" in done.words) == (3, True), done.err


def test_refused_rows_alone_are_lost(bundle: Path, scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    """Discs pass and stripes are flagged, so of a pool of both the discs are answered, whatever they were sent with."""
    pool = save(discs(24, seed=30)[0], tmp_path / "pool" / "own")
    save(stripes(24, seed=31), tmp_path / "pool" / "other")
    with gateway(bundle, log=tmp_path / "log", arguments=["--policy", "refuse"]) as running:
        done = knockguard(
            *scene.words(tmp_path / "attack", "--pool", pool.parent, "--queries", 48, "--json", address=running.address)
        )
    assert done.code == 0, done.err
    stolen = read_transfer_set(tmp_path / "attack" / "transfer.npz")
    own = stolen.answers[stolen.queries.sources >= 0].sum(axis=1) > 0
    assert 20 <= own.sum() <= 26
    assert json.loads(done.out)["settings"]["answered"] == own.sum()
    assert "queries were refused" in done.words


def test_endpoint_that_refuses_everybody_is_told_before_anything_is_spent(
    bundle: Path, scene: Scene, tmp_path: Path, knockguard: InProcess
) -> None:
    arguments = ["--policy", "refuse", "--apply-to", "all"]
    with gateway(bundle, log=tmp_path / "log", arguments=arguments) as running:
        done = knockguard(*scene.words(tmp_path / "attack", address=running.address))
    assert (done.code, f"refused all {N_TEST} test images" in done.words) == (3, True), done.err
    assert listing(tmp_path / "attack") == set()


def test_victim_behind_a_shuffle_is_measured_from_its_bundle(
    bundle: Path, scene: Scene, tmp_path: Path, knockguard: InProcess
) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    (tmp_path / "secret").chmod(0o600)
    arguments = ["--policy", "shuffle", "--apply-to", "all", "--secret-file", str(tmp_path / "secret")]
    with gateway(bundle, log=tmp_path / "log", arguments=arguments) as running:
        blind = knockguard(*scene.words(tmp_path / "blind", "--seed", 2, address=running.address))
        seen = knockguard(*scene.words(tmp_path / "seen", "--seed", 2, "--bundle", bundle, address=running.address))
    assert (blind.code, seen.code) == (0, 0), blind.err + seen.err
    (policy,) = read_results(tmp_path / "blind").policies
    assert policy.fidelity is None
    results = read_results(tmp_path / "seen")
    (policy,) = results.policies
    assert (results.victim.through_guard, results.victim.accuracy > 0.9) == (False, True)
    assert policy.fidelity is not None
    assert policy.net_recovery is not None
    assert (policy.benign_accuracy or 0) < 0.6


def test_sybil_needs_a_key_for_each_of_its_clients(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    (tmp_path / "keys").write_text("one\ntwo\n")
    before = scene.asked()
    done = knockguard(*scene.words(tmp_path / "attack", "--adversary", "sybil", "--api-key-file", tmp_path / "keys"))
    assert done.code == 2
    assert "2 keys" in done.words
    assert "8 clients" in done.words
    assert scene.asked() == before


def test_folders_are_the_groups_that_an_attack_asks_for(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    wanted = ["--attack", "in-distribution", "--attack-option", "inside=2", "--queries", 20]
    done = knockguard(*scene.words(tmp_path / "attack", *wanted))
    assert done.code == 0, done.err
    assert "2 is c" in done.words
    sources = read_transfer_set(tmp_path / "attack" / "transfer.npz").queries.pixels
    of_c = [np.asarray(Image.open(p)) for p in (scene.pool / "c").iterdir()]
    assert all(any(np.array_equal(asked, image) for image in of_c) for asked in sources)


def test_address_that_is_not_loopback_hears_nothing_without_consent(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        listener.setblocking(False)
        address = f"0.0.0.0:{listener.getsockname()[1]}"
        for consent in ([], ["--i-am-authorised-by", " "]):
            done = knockguard(*scene.words(tmp_path / "attack", *consent, address=address))
            assert (done.code, "--i-am-authorised-by" in done.words) == (3, True), done.err
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not (tmp_path / "attack").exists()


def test_consent_is_written_into_the_results(bundle: Path, scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    with gateway(bundle, log=tmp_path / "log", arguments=["--host", "0.0.0.0", "--anonymous"]) as running:
        address = running.address.replace("127.0.0.1", "0.0.0.0")
        done = knockguard(*scene.words(tmp_path / "attack", "--i-am-authorised-by", "its owner", address=address))
    assert done.code == 0, done.err
    assert read_results(tmp_path / "attack").settings["authorised"] == "its owner"


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    save(discs(20, seed=21)[0], folder / "two", ("0", "1"))
    save(discs(20, seed=21)[0], folder / "plain")
    (folder / "empty").mkdir()
    return folder


BAD: dict[str, tuple[list[str], int, list[str]]] = {
    "classes": (["--test", "{wrong}/two"], 3, ["two has 2 classes and the model has 3"]),
    "no classes": (["--test", "{wrong}/plain"], 3, ["plain: test images need classes"]),
    "no pool": (["--pool", "{wrong}/empty"], 3, ["empty holds no image"]),
    "model": (["--model", "disc"], 3, ["disc"]),
    "attack": (["--attack", "knockof"], 2, ["'knockof'", "did you mean 'knockoff'"]),
    "adversary": (["--adversary", "softt"], 2, ["'softt'", "did you mean 'soft'"]),
    "architecture": (["--architecture", "cnn-smal"], 2, ["'cnn-smal'", "did you mean 'cnn-small'"]),
    "key file": (["--api-key-file", "{wrong}/gone"], 2, ["--api-key-file", "gone"]),
    "queries": (["--queries", "0"], 2, ["--queries"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_attacked_is_refused_before_anything_is_asked(
    case: str, scene: Scene, wrong: Path, tmp_path: Path, knockguard: InProcess
) -> None:
    given, code, pieces = BAD[case]
    before = scene.asked()
    done = knockguard(*scene.words(tmp_path / "attack", *(word.format(wrong=wrong) for word in given)))
    assert done.code == code, done.err
    assert [piece for piece in pieces if piece not in done.words] == [], done.words
    assert ("Traceback" in done.err, done.out) == (False, "")
    assert scene.asked() == before
    assert listing(tmp_path) <= {"attack"}


def test_nobody_there_is_told_as_not_reachable(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = knockguard(*scene.words(tmp_path / "attack", address=f"127.0.0.1:{port}"))
    assert done.code == 4, done.err
    assert "Traceback" not in done.err
