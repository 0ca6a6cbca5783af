"""The plant's clock may be set an hour either way: the cycle's time goes on with the heartbeat."""

from __future__ import annotations

import pytest

from controller.plant_clock import PlantClock, steady_time
from plant_models.signals import BAD, LAB, PLC, Snapshot, Value

START = 1_700_000_000.0


def _snapshot(beat: int, offset: float = 0.0, nir_age: float = 10.0, status: int = 0) -> Snapshot:
    now = START + beat
    return Snapshot(
        time=now + offset,
        scan_id=beat,
        values={
            PLC.HB: Value(beat, status, now + offset),
            PLC.TIME: Value(now + offset, 0, now + offset),
            "Line/Press/MainForce/PV": Value(7.2, 0, now + offset - 1.0),
            "Line/FeedFrame/Potency/PV": Value(100.0, 0, now - nir_age),
            LAB.TAKEN: Value(now - 300.0, 0, now + offset - 180.0),
        },
    )


def _run(offsets: list[float]) -> tuple[list[Snapshot], PlantClock]:
    clock, seen = PlantClock(), []
    for k, offset in enumerate(offsets, start=1):
        snapshot, clock = steady_time(_snapshot(5 * k, offset), clock)
        seen.append(snapshot)
    return seen, clock


def test_a_clock_that_goes_on_leaves_everything_as_it_is() -> None:
    clock = PlantClock()
    for k in range(1, 20):
        snapshot = _snapshot(5 * k)
        same, clock = steady_time(snapshot, clock)
        assert same is snapshot
    assert clock.text == ""


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 300.0])
def test_a_jump_is_taken_out_of_the_time_and_of_every_stamp_of_that_clock(jump: float) -> None:
    seen, clock = _run([0.0] * 3 + [jump] * 5)
    assert [s.time - START for s in seen] == [5.0 * k for k in range(1, 9)]
    last = seen[-1]
    assert last.number(PLC.TIME) == last.time
    assert last.values["Line/Press/MainForce/PV"].source_time == last.time - 1.0
    assert last.values["Line/FeedFrame/Potency/PV"].source_time == last.time - 10.0
    assert last.number(LAB.TAKEN) == last.time - 300.0
    assert clock.text == f"the plant's clock is off by {jump:+.0f} s"


def test_a_clock_that_is_set_right_again_is_right() -> None:
    seen, clock = _run([0.0] * 3 + [3600.0] * 3 + [0.0] * 3)
    assert [s.time - START for s in seen] == [5.0 * k for k in range(1, 10)]
    assert clock.text == ""


def test_cycles_that_were_lost_are_no_jump() -> None:
    _, clock = steady_time(_snapshot(5), PlantClock())
    later, clock = steady_time(_snapshot(905), clock)
    assert later.time == START + 905
    assert clock.offset == 0.0


def test_a_plant_that_begins_anew_brings_its_own_time() -> None:
    _, clock = steady_time(_snapshot(5000, 3600.0), PlantClock())
    new, clock = steady_time(_snapshot(5), clock)
    assert new.time == START + 5
    assert clock.offset == 0.0


def test_without_a_heartbeat_the_offset_is_kept() -> None:
    _, clock = steady_time(_snapshot(5), PlantClock())
    _, clock = steady_time(_snapshot(10, 3600.0), clock)
    blind, clock = steady_time(_snapshot(15, 3600.0, status=BAD), clock)
    assert blind.time == START + 15
    again, _ = steady_time(_snapshot(20, 3600.0), clock)
    assert again.time == START + 20
