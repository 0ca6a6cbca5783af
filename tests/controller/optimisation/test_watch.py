"""A solver that does not come back: nobody waits for it longer than they may."""

import threading
import time
from collections.abc import Iterator

import pytest

from controller.optimisation.watch import Watch


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hung call waits for; opened at the end, so that no thread is left behind."""
    event = threading.Event()
    yield event
    event.set()


def until_idle(watch: Watch[int]) -> None:
    limit = time.perf_counter() + 10.0
    while watch.busy:
        assert time.perf_counter() < limit
        time.sleep(0.001)


def test_an_answer_in_time_is_handed_on_and_the_thread_is_used_again() -> None:
    watch: Watch[int] = Watch("solver")
    first = watch.call(threading.get_ident, 10.0)
    assert first != threading.get_ident()
    assert watch.call(threading.get_ident, 10.0) == first
    assert not watch.busy


def test_what_the_call_raises_is_raised() -> None:
    watch: Watch[int] = Watch("solver")
    with pytest.raises(ZeroDivisionError):
        watch.call(lambda: 1 // 0, 10.0)
    assert watch.call(lambda: 7, 10.0) == 7


def test_a_call_that_hangs_is_given_up_in_time(gate: threading.Event) -> None:
    watch: Watch[int] = Watch("solver")
    began = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        watch.call(lambda: int(gate.wait(60.0)), 0.1)
    assert 0.09 < time.perf_counter() - began < 5.0
    assert watch.busy


def test_until_it_returns_nothing_else_is_asked_and_nobody_waits(gate: threading.Event) -> None:
    watch: Watch[int] = Watch("solver")
    asked = []
    with pytest.raises(TimeoutError):
        watch.call(lambda: int(gate.wait(60.0)), 0.05)
    began = time.perf_counter()
    with pytest.raises(TimeoutError, match="still busy"):
        watch.call(lambda: asked.append(1) or 1, 30.0)
    assert time.perf_counter() - began < 5.0
    assert asked == []
    gate.set()
    until_idle(watch)
    assert watch.call(lambda: 3, 10.0) == 3


def test_what_it_says_too_late_is_nobodys_answer(gate: threading.Event) -> None:
    watch: Watch[int] = Watch("solver")
    with pytest.raises(TimeoutError):
        watch.call(lambda: 1 + int(gate.wait(60.0)), 0.05)
    gate.set()
    until_idle(watch)
    assert watch.call(lambda: 5, 10.0) == 5


def test_a_thread_is_only_there_once_it_is_needed() -> None:
    before = threading.active_count()
    Watch("solver")
    assert threading.active_count() == before
