"""The runtime around the cycles, on a link that plays snapshots."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from controller.cycle_data import CycleOutput, CycleState, initial_state
from controller.data import CycleRecord, Mode
from controller.link.client import Progress
from controller.runtime import Runtime
from plant_models.signals import APC, Payload, Snapshot
from tests.controller.kit import EPOCH, PERIOD, Loop, TinyPlant
from tools.clocks import SystemClock


@dataclass
class PlayedLink:
    """What `controller.link.client.PlantLink` offers, on snapshots; ``stop`` is set after them."""

    snapshots: list[Snapshot]
    stop: asyncio.Event
    up: bool = False
    disagreements: tuple[str, ...] = ()
    certificates: Mapping[str, float] = field(default_factory=dict)
    writes: list[dict[str, Payload]] = field(default_factory=list)

    async def connect(self) -> None:
        self.up = True

    async def drop(self) -> None:
        self.up = False

    async def next_cycle(self, last: Progress | None, period_s: float) -> Progress:
        return Progress(self.snapshots[0].scan_id, self.snapshots[0].scan_id, 0.0)

    async def read(self) -> Snapshot:
        return self.snapshots.pop(0)

    async def write(self, writes: Mapping[str, Payload]) -> Mapping[str, int]:
        self.writes.append(dict(writes))
        if not self.snapshots:
            self.stop.set()
        return dict.fromkeys(writes, 0)


@dataclass
class Kept:
    """View and recorder in one."""

    outputs: list[CycleOutput] = field(default_factory=list)

    def append(self, output: CycleOutput, record: CycleRecord | None = None) -> None:
        self.outputs.append(output)

    def close(self) -> None:
        pass

    async def publish(self, output: CycleOutput, link: str) -> None:
        pass


def run(loop: Loop, state: CycleState, snapshots: list[Snapshot]) -> tuple[Kept, PlayedLink]:
    kept = Kept()

    async def scenario() -> PlayedLink:
        stop = asyncio.Event()
        link = PlayedLink(list(snapshots), stop)
        runtime = Runtime(loop.setup, state, link, kept, lambda: kept, SystemClock())  # type: ignore[arg-type]
        await asyncio.wait_for(runtime.run(stop), 10.0)
        return link

    return kept, asyncio.run(scenario())


def snapshots(number: int) -> list[Snapshot]:
    plant = TinyPlant()
    found = []
    for _ in range(number):
        plant.tick()
        found.append(plant.snapshot())
    return found


def test_every_cycle_ends_with_heartbeat_and_mode_and_nothing_else() -> None:
    loop = Loop()
    kept, link = run(loop, initial_state(loop.setup, EPOCH), snapshots(5))
    assert [o.record.cycle for o in kept.outputs] == [1, 2, 3, 4, 5]
    *cycles, farewell = link.writes
    assert [set(w) for w in cycles] == [{APC.HB, APC.STATE}] * 5
    assert {w[APC.STATE] for w in cycles} == {Mode.MONITORING}
    assert farewell[APC.STATE] == Mode.OFF


def test_a_plant_whose_time_went_back_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    loop, played = Loop(), snapshots(3)
    fresh = initial_state(loop.setup, EPOCH)
    with caplog.at_level(logging.WARNING, "controller.runtime"):
        run(loop, replace(fresh, time=played[0].time - PERIOD), played)
        assert "went back" not in caplog.text
        run(loop, replace(fresh, time=played[0].time + 60.0), played)
    assert caplog.text.count("plant time went back by 60 s") == 1


def test_who_asks_without_end_is_sent_away() -> None:
    kept, loop = Kept(), Loop()

    async def scenario() -> tuple[bool, str]:
        link = PlayedLink([], asyncio.Event())
        state = initial_state(loop.setup, EPOCH)
        runtime = Runtime(loop.setup, state, link, kept, lambda: kept, SystemClock())  # type: ignore[arg-type]
        waiting = [asyncio.create_task(runtime.ask(object())) for _ in range(100)]
        await asyncio.sleep(0)
        answer = await asyncio.wait_for(runtime.ask(object()), 1.0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return answer

    accepted, text = asyncio.run(scenario())
    assert not accepted
    assert text == "100 requests are waiting already: ask again in a while"
