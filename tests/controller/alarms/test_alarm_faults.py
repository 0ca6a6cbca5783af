"""Every fault that the controller must live with has its alarm, through the whole cycle."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.alarms.ids import Id
from controller.data import Mode
from controller.supervision.findings import LinkStatus
from plant_models.signals import PLC, Snapshot, Value
from tests.controller.kit import Loop

NIR = "Line/FeedFrame/Potency/PV"
LEVEL = "Line/Chute/Level/PV"
HOUR = 3600.0


def _closed() -> Loop:
    loop = Loop()
    loop.close()
    loop.cycles(30)
    assert _called(loop) == []
    return loop


def _called(loop: Loop) -> list[str]:
    """Alarms that called somebody, in order."""
    found = []
    for output in loop.outputs:
        assert output.oversight is not None
        found += [e.alarm for e in output.oversight.alarm_events if e.annunciated]
    return found


def _change(loop: Loop, change: Callable[[dict[str, Value], Snapshot], Snapshot]) -> None:
    """From now on every snapshot passes through ``change``."""
    plant, real = loop.plant, type(loop.plant).snapshot

    def changed() -> Snapshot:
        snapshot = real(plant)
        return change(dict(snapshot.values), snapshot)

    plant.snapshot = changed  # type: ignore[method-assign]


def _plant_clock(by: float) -> Callable[[dict[str, Value], Snapshot], Snapshot]:
    def change(values: dict[str, Value], snapshot: Snapshot) -> Snapshot:
        moved = {t: replace(v, source_time=v.source_time + by) for t, v in values.items()}
        return replace(snapshot, time=snapshot.time + by, values=moved)

    return change


def _source_clock(by: Callable[[float], float]) -> Callable[[dict[str, Value], Snapshot], Snapshot]:
    def change(values: dict[str, Value], snapshot: Snapshot) -> Snapshot:
        v = values[NIR]
        values[NIR] = replace(v, source_time=v.source_time + by(snapshot.time))
        return replace(snapshot, values=values)

    return change


def _value(tag: str, new: Callable[[Any], Any]) -> Callable[[dict[str, Value], Snapshot], Snapshot]:
    def change(values: dict[str, Value], snapshot: Snapshot) -> Snapshot:
        values[tag] = replace(values[tag], value=new(values[tag].value))
        return replace(snapshot, values=values)

    return change


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_the_plants_clock_jumps_an_hour(by: float) -> None:
    loop = _closed()
    _change(loop, _plant_clock(by))
    loop.cycles(20)
    assert _called(loop) == [Id.CLOCK]
    assert loop.state.mode is Mode.CLOSED_LOOP


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_daylight_saving_begins_or_ends_at_a_source(by: float) -> None:
    loop = _closed()
    _change(loop, _source_clock(lambda now: by))
    loop.cycles(60)
    assert [a for a in _called(loop) if not a.endswith(".nir")] == []
    assert _called(loop)
    assert loop.state.mode is Mode.CLOSED_LOOP


@pytest.mark.parametrize("by", [300.0, -300.0])
def test_a_sources_clock_drifts_five_minutes(by: float) -> None:
    loop = _closed()
    begin = loop.plant.time
    _change(loop, _source_clock(lambda now: by * min(1.0, (now - begin) / 1200.0)))
    loop.cycles(300)
    assert _called(loop) and [a for a in _called(loop) if not a.endswith(".nir")] == []
    assert loop.state.mode is Mode.CLOSED_LOOP


@pytest.mark.parametrize(("tag", "name"), [(NIR, "nir"), (LEVEL, "chute_level")])
def test_a_value_of_the_wrong_type(tag: str, name: str) -> None:
    loop = _closed()
    _change(loop, _value(tag, str))
    loop.cycles(6)
    assert _called(loop) == [f"{Id.LOST}.{name}"]
    assert loop.state.mode is Mode.CLOSED_LOOP


def test_a_value_in_the_wrong_unit() -> None:
    loop = _closed()
    _change(loop, _value(NIR, lambda x: 0.01 * x))
    loop.cycles(20)
    assert _called(loop) == [f"{Id.LOST}.nir"]
    assert loop.state.mode is Mode.CLOSED_LOOP


def test_a_server_whose_unit_differs_is_not_written_to() -> None:
    loop = _closed()
    loop.cycle(link=LinkStatus(disagreements=("Line/Press/Thickness/REQ",)))
    assert set(_called(loop)) == {Id.LIMITS, Id.SHED}


@pytest.mark.parametrize("note", ["no answer within 2 s", "the plant is silent"])
def test_a_slow_server_and_a_half_open_connection_are_a_lost_plant(note: str) -> None:
    loop = _closed()
    link = LinkStatus(connected=False, alive=False, note=note)
    for _ in range(30):
        loop.cycle(snapshot=None, link=link)
    assert _called(loop) == [Id.PLANT_LOST, Id.SHED]


def test_a_certificate_is_named_30_days_before_it_expires() -> None:
    loop = _closed()
    loop.cycle(link=LinkStatus(certificates={"controller": 29.5, "plant": 300.0}))
    assert _called(loop) == [Id.CERTIFICATE]
    assert loop.state.mode is Mode.CLOSED_LOOP


def test_stops_of_the_line_alarm_nobody_until_control_is_about_to_be_shed() -> None:
    loop = _closed()
    for stop_s in (10, 60, 590):
        loop.plant.values[PLC.LINE_STATE] = "held"
        loop.cycles(stop_s // 5)
        loop.plant.values[PLC.LINE_STATE] = "running"
        loop.cycles(30)
    assert _called(loop) == []
    assert loop.state.mode is Mode.CLOSED_LOOP
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.cycles(240)
    assert _called(loop) == [Id.RESUME, Id.SHED]
