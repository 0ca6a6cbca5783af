"""Lock-step waits for people where they want it to, and never for too long."""

import asyncio
import time

from hil.hold import Hold


def test_nobody_is_waited_for_unless_asked() -> None:
    assert not Hold().due(10_000)


def test_the_plant_is_held_from_its_second_on() -> None:
    hold = Hold(900)
    assert [hold.due(s) for s in (895, 900, 905)] == [False, True, True]


def test_it_goes_on_when_the_hold_is_moved_beyond_it() -> None:
    async def scenario() -> float:
        hold, began = Hold(900, longest_s=20.0), time.monotonic()
        waiting = asyncio.create_task(hold.wait(900, asyncio.Event()))
        await asyncio.sleep(0.05)
        hold.move(900)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        hold.move(905)
        await waiting
        assert hold.due(905) and not hold.due(900)
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 10.0


def test_it_goes_on_by_itself_after_the_longest_time() -> None:
    async def scenario() -> None:
        hold = Hold(900, longest_s=0.05)
        await asyncio.wait_for(hold.wait(900, asyncio.Event()), 10.0)
        assert not hold.due(905)

    asyncio.run(scenario())


def test_a_stop_ends_the_hold() -> None:
    async def scenario() -> None:
        hold, stop = Hold(900, longest_s=60.0), asyncio.Event()
        waiting = asyncio.create_task(hold.wait(900, stop))
        await asyncio.sleep(0.02)
        stop.set()
        await asyncio.wait_for(waiting, 10.0)

    asyncio.run(scenario())
