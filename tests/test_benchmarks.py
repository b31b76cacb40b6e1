"""The benchmarks' arithmetic and table; what they measure is measured by running them."""

import sys
from itertools import count
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ratios

    yield ratios
    sys.modules.pop("ratios")


def test_ratio_is_the_median_of_pairs_with_its_spread(ratios) -> None:
    ratio = ratios.Ratio(((10.0, 5.0), (30.0, 10.0), (8.0, 8.0)))
    assert (ratio.rate, ratio.peer, ratio.value) == (10.0, 8.0, 2.0)
    assert str(ratio) == "2.00 (1.00 to 3.00, n=3)"


def test_way_and_peer_take_turns_and_are_paired(ratios) -> None:
    order: list[str] = []
    clocks = {"way": count(0, 2), "peer": count(0, 4)}

    def way(name: str):
        def run() -> int:
            order.append(name)
            return 8

        return ratios.Way(run, lambda: next(clocks[name]))

    wall, cpu = ratios.compare(way("way"), way("peer"), repetitions=3)
    assert order == ["way", "peer"] * 4  # the first two warm up
    assert len(wall.pairs) == 3
    assert cpu.pairs == ((4.0, 2.0),) * 3  # eight operations in two and in four processor seconds


def test_run_is_made_as_long_as_asked_for(ratios) -> None:
    asked: list[int] = []
    ratios.lasting(lambda n: asked.append(n) or n, seconds=0.0, least=3)()
    assert asked == [3] * 4


def test_table_is_written_whole_with_the_machine_beside_it(ratios, tmp_path: Path, capsys) -> None:
    table = ratios.Table("What it costs", ("model", "rate"), tmp_path / "t.md")
    table.row("small", 1234.5)
    assert not (tmp_path / "t.md").exists()
    table.write()
    text = (tmp_path / "t.md").read_text()
    assert "| model | rate |\n| --- | --- |\n| small | 1,234 |\n" in text
    assert "cores" in text
    assert "1,234" in capsys.readouterr().out
