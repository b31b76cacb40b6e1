"""A copy is measured on images that its thief cannot ask about."""

import shutil
from pathlib import Path

from attack_scene import N_TEST, Scene
from miniature import InProcess

from evaluation.results import read_results


def test_test_images_that_are_in_the_pool_are_left_out_and_counted(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    pool = tmp_path / "pool"
    shutil.copytree(scene.pool, pool)
    for number, path in enumerate(sorted(scene.test.rglob("*.png"))[:7]):
        shutil.copy(path, pool / "a" / f"same-{number}.png")
    done = knockguard(*scene.words(tmp_path / "attack", "--pool", pool))
    assert done.code == 0, done.err
    assert f"7 of {N_TEST} test images are in the pool too, and are left out" in done.words
    assert read_results(tmp_path / "attack").victim.n_test == N_TEST - 7


def test_pool_that_holds_a_class_of_the_test_is_refused(scene: Scene, tmp_path: Path, knockguard: InProcess) -> None:
    before = scene.asked()
    done = knockguard(*scene.words(tmp_path / "attack", "--pool", scene.test))
    assert done.code == 3, done.err
    assert f"{N_TEST} of {N_TEST} test images are in the pool too, and class 0 has no other" in done.words
    assert scene.asked() == before
