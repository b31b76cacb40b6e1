"""A cause is told at once, then once in a while, with a count of what was passed over."""

from grpc_api.repeats import Repeats


def test_cause_is_told_at_once_and_then_counted_until_it_is_time_again() -> None:
    now = [0.0]
    repeats = Repeats(10.0, clock=lambda: now[0])
    assert repeats.untold("a") == 0
    assert [repeats.untold("a") for _ in range(3)] == [None] * 3
    assert repeats.untold("b") == 0  # another cause does not wait for the first
    now[0] = 10.0
    assert repeats.untold("a") == 3
    assert repeats.untold("a") is None


def test_causes_without_end_do_not_fill_the_memory() -> None:
    repeats = Repeats()
    for i in range(1000):
        assert repeats.untold(str(i)) == 0
    assert len(repeats._causes) <= 64
    assert repeats.untold("0") == 0  # forgotten, so told again
