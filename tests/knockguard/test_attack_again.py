"""`knockguard attack` where it was before: what it forgets, and when."""

import shutil
from pathlib import Path

import pytest
from attack_scene import Scene
from miniature import Done, InProcess, listing

NOBODY = "127.0.0.1:1"
VAIN: dict[str, tuple[list[str], int]] = {
    "nobody there": ([], 4),
    "no pool": (["--pool", "gone"], 3),
    "no such group": (["--attack", "mixture", "--attack-option", "inside=9"], 2),
    "no test": (["--test", "gone"], 3),
}


@pytest.mark.parametrize("case", VAIN)
def test_force_keeps_what_was_paid_for_until_it_asks(
    case: str, attacked: tuple[Done, Path, int], scene: Scene, tmp_path: Path, knockguard: InProcess
) -> None:
    out = shutil.copytree(attacked[1], tmp_path / "attack")
    given, code = VAIN[case]
    done = knockguard(*scene.words(out, "--force", *given, address="" if given else NOBODY))
    assert done.code == code, done.err
    assert {name: (out / name).read_bytes() for name in listing(out)} == {
        name: (attacked[1] / name).read_bytes() for name in listing(attacked[1])
    }
