"""Faults of the stand-in's instruments, put between what they measured and what is published.

The physics and the noise stay as they are. A fault of the instrument itself reaches the PLC too
(lost, frozen, biased, drifting, fouled, spikes); one of the data alone (type, unit, clock) only
what goes out over OPC UA. Faults come from the scenario or are set while the plant runs; they
depend on plant seconds and the seed only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from hil.config import InstrumentFails, Scheduled
from hil.noise import Noise
from hil.readings import LabReading, Reading, Readings
from plant_models.signals import LAB, PLC, Value

__all__ = ["SENSOR_FAILURE", "FaultKind", "Faults", "Instrument", "InstrumentFault"]

SENSOR_FAILURE = 0x808C0000  # Bad_SensorFailure
_SPIKE_CHANCE = 0.2  # per second
_HOUR = 3600.0


class Instrument(StrEnum):
    """Instruments that can fail; the PLC's clock is one of them."""

    NIR = "nir"
    LAB = "lab"
    MAIN_FORCE = "main_force"
    PRE_FORCE = "pre_force"
    LOAD_CELL_1 = "load_cell_1"
    LOAD_CELL_2 = "load_cell_2"
    LOAD_CELL_3 = "load_cell_3"
    CHUTE_LEVEL = "chute_level"
    PLANT_CLOCK = "plant_clock"


class FaultKind(StrEnum):
    """What a fault does; its ``size`` means what stands here.

    ``LOST`` and ``FROZEN`` need none; ``BIASED`` percent of the reading (of the label: NIR);
    ``DRIFTING`` the same per hour; ``FOULED`` the bias in the end; ``SPIKES`` their standard
    deviation in percent; ``WRONG_TYPE`` none; ``WRONG_UNIT`` a factor; ``CLOCK_OFFSET`` seconds
    (a jump, an hour of daylight saving); ``CLOCK_DRIFT`` seconds in the end.
    """

    LOST = "lost"
    FROZEN = "frozen"
    BIASED = "biased"
    DRIFTING = "drifting"
    FOULED = "fouled"
    SPIKES = "spikes"
    WRONG_TYPE = "wrong_type"
    WRONG_UNIT = "wrong_unit"
    CLOCK_OFFSET = "clock_offset"
    CLOCK_DRIFT = "clock_drift"


_OF_DATA = frozenset(
    {FaultKind.WRONG_TYPE, FaultKind.WRONG_UNIT, FaultKind.CLOCK_OFFSET, FaultKind.CLOCK_DRIFT}
)
_CELLS = (Instrument.LOAD_CELL_1, Instrument.LOAD_CELL_2, Instrument.LOAD_CELL_3)
_FIELDS = {
    Instrument.NIR: "potency",
    Instrument.MAIN_FORCE: "main_force",
    Instrument.PRE_FORCE: "pre_force",
    Instrument.CHUTE_LEVEL: "level",
}
_SAMPLE = (LAB.WEIGHT, LAB.THICKNESS, LAB.FORCE)
_TAGS: Mapping[Instrument, tuple[str, ...]] = {
    Instrument.NIR: ("Line/FeedFrame/Potency/PV",),
    Instrument.LAB: (LAB.ID, LAB.TAKEN, *_SAMPLE),
    Instrument.MAIN_FORCE: ("Line/Press/MainForce/PV", "Line/Press/MainForceSP/FBK"),
    Instrument.PRE_FORCE: ("Line/Press/PreForce/PV",),
    **{
        cell: tuple(f"Line/Feeder{i}/{name}/PV" for name in ("Weight", "MassFlow", "HopperLevel"))
        for i, cell in enumerate(_CELLS, start=1)
    },
    Instrument.CHUTE_LEVEL: ("Line/Chute/Level/PV",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFault:
    """A fault from plant second ``start`` until before ``end`` (None: for good).

    ``ramp_s`` is how long fouling and a drifting clock take to reach their ``size``.
    """

    instrument: Instrument
    kind: FaultKind
    start: int = 0
    end: int | None = None
    size: float = 0.0
    ramp_s: float = 600.0

    def active(self, second: int) -> bool:
        """Whether it acts in plant second ``second``."""
        return self.start <= second and (self.end is None or second < self.end)

    def ramp(self, second: float) -> float:
        """Share of its size that is reached, 0 to 1."""
        return min(max((second - self.start) / max(self.ramp_s, 1.0), 0.0), 1.0)


class Faults:
    """All faults of a plant.

    Parameters
    ----------
    noise
        For spikes.
    events
        The scenario's; those that concern no instrument are passed over.
    """

    def __init__(self, noise: Noise, events: Sequence[Scheduled] = ()) -> None:
        self._noise = noise
        self._faults: list[InstrumentFault] = [
            InstrumentFault(
                instrument=Instrument(item.event.instrument),
                kind=FaultKind(item.event.fault),
                start=item.second,
                end=item.second + item.duration if item.duration else None,
                size=item.event.size,
                ramp_s=item.event.ramp_s,
            )
            for item in events
            if isinstance(item.event, InstrumentFails)
        ]
        self._held: dict[str, Any] = {}

    @property
    def all(self) -> tuple[InstrumentFault, ...]:
        """Every fault, past, present and to come."""
        return tuple(self._faults)

    def set(self, fault: InstrumentFault) -> None:
        """Add a fault while the plant runs."""
        self._faults.append(fault)

    def clear(self, instrument: Instrument) -> None:
        """End every fault of an instrument."""
        self._faults = [f for f in self._faults if f.instrument is not instrument]

    # -- what the PLC sees ---------------------------------------------------------------------

    def readings(self, readings: Readings) -> Readings:
        """The readings with the faults of this plant second."""
        active = [f for f in self._faults if f.kind not in _OF_DATA and f.active(readings.second)]
        if not active:
            self._held.clear()
            return readings
        for fault in active:
            readings = self._applied(fault, readings)
        return readings

    def _applied(self, fault: InstrumentFault, readings: Readings) -> Readings:
        if fault.instrument is Instrument.LAB:
            key = f"lab/{fault.start}"
            if key not in self._held:
                self._held[key] = readings.lab
            return replace(readings, lab=self._held[key])
        change = self._change(fault, readings.second)
        if fault.instrument in _CELLS:
            return self._cell(fault, readings, change)
        name = _FIELDS[fault.instrument]
        shown = change(name, getattr(readings, name))
        if fault.instrument is not Instrument.MAIN_FORCE:
            one: dict[str, Any] = {name: shown}
            return replace(readings, **one)
        return self._main_force(fault, readings, shown)

    def _change(self, fault: InstrumentFault, second: int) -> Callable[[str, Reading], Reading]:
        """How the fault changes a reading of the instrument."""
        share = fault.size / 100.0

        def change(name: str, r: Reading) -> Reading:
            if fault.kind is FaultKind.LOST:
                return Reading(r.value, SENSOR_FAILURE, r.second)
            if fault.kind is FaultKind.FROZEN:
                held = self._held.setdefault(f"{name}/{fault.start}", r.value)
                return Reading(held, r.status, r.second)
            if fault.kind is FaultKind.DRIFTING:
                off = share * (second - fault.start) / _HOUR
            elif fault.kind is FaultKind.FOULED:
                off = share * fault.ramp(second)
            elif fault.kind is FaultKind.SPIKES:
                hit = float(self._noise.uniform(f"fault/{name}", second)[0]) < _SPIKE_CHANCE
                size = float(self._noise.normal(f"fault/{name}/size", second)[0])
                off = share * size if hit else 0.0
            else:
                off = share
            absolute = fault.instrument is Instrument.NIR  # shares of label
            return Reading(r.value + off * (1.0 if absolute else r.value), r.status, r.second)

        return change

    def _cell(
        self,
        fault: InstrumentFault,
        readings: Readings,
        change: Callable[[str, Reading], Reading],
    ) -> Readings:
        """A load cell: weight, level and, made of it, the flow."""
        i = _CELLS.index(fault.instrument)
        feeder = readings.feeders[i]
        flow = feeder.flow
        if fault.kind is FaultKind.FROZEN:  # the slope of a weight that stands still
            left = max(0.0, 1.0 - (readings.second - fault.start) / 30.0)
            flow = Reading(flow.value * left, flow.status, flow.second)
        elif fault.kind is not FaultKind.SPIKES:  # which the feeder's electronics filter out
            flow = change(f"flow{i}", flow)
        faulty = replace(
            feeder,
            weight=change(f"weight{i}", feeder.weight),
            level=change(f"hopper{i}", feeder.level),
            flow=flow,
        )
        feeders = (*readings.feeders[:i], faulty, *readings.feeders[i + 1 :])
        return replace(readings, feeders=feeders)

    def _main_force(self, fault: InstrumentFault, readings: Readings, shown: Reading) -> Readings:
        """The mean force, and the single forces by which tablets are rejected."""
        single, rsd = readings.tablet_force, readings.main_force_rsd
        if fault.kind is FaultKind.LOST:
            single = np.zeros_like(single)  # no signal is no force: the gate takes them all out
            rsd = Reading(rsd.value, SENSOR_FAILURE, rsd.second)
        elif fault.kind is FaultKind.FROZEN:
            single = np.full_like(single, shown.value)
        elif readings.main_force.value > 0.0:
            single = single * (shown.value / readings.main_force.value)
        return replace(readings, main_force=shown, main_force_rsd=rsd, tablet_force=single)

    # -- what goes out over OPC UA -------------------------------------------------------------

    def image(self, values: dict[str, Value], second: int) -> dict[str, Value]:
        """The process image with the faults of data of this plant second."""
        for fault in self._faults:
            if fault.kind not in _OF_DATA or not fault.active(second):
                continue
            if fault.instrument is Instrument.PLANT_CLOCK:
                values = _other_time(values, fault.size)
            else:
                changed = {
                    t: _changed(t, values[t], fault, second) for t in _TAGS[fault.instrument]
                }
                values = {**values, **changed}
        return values

    def state(self) -> dict[str, Any]:
        """JSON-able state: the faults, and what is held."""
        held = {k: _plain(v) for k, v in self._held.items()}
        return {"faults": [asdict(f) for f in self._faults], "held": held}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._faults = [
            InstrumentFault(
                **{
                    **item,
                    "instrument": Instrument(item["instrument"]),
                    "kind": FaultKind(item["kind"]),
                }
            )
            for item in state["faults"]
        ]
        self._held = {k: _back(v) for k, v in state["held"].items()}


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, LabReading) else value


def _back(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return LabReading(**fields)


def _changed(tag: str, item: Value, fault: InstrumentFault, second: int) -> Value:
    """One value of an instrument whose data are wrong."""
    if fault.kind is FaultKind.WRONG_TYPE:
        return Value(str(item.value), item.status, item.source_time)
    if fault.kind is FaultKind.WRONG_UNIT:
        if isinstance(item.value, tuple):
            return Value(tuple(fault.size * x for x in item.value), item.status, item.source_time)
        if isinstance(item.value, float) and tag != LAB.TAKEN:
            return Value(fault.size * item.value, item.status, item.source_time)
        return item
    offset = fault.size
    if fault.kind is FaultKind.CLOCK_DRIFT:
        offset *= fault.ramp(second)
    if tag in (LAB.ID, *_SAMPLE):  # stamped by the server when they are published
        return item
    if tag == LAB.TAKEN:
        taken = item.value
        return Value(
            taken + offset if isinstance(taken, float) else taken, item.status, item.source_time
        )
    return Value(item.value, item.status, item.source_time + offset)


def _other_time(values: dict[str, Value], offset: float) -> dict[str, Value]:
    """The PLC's clock is off: its time and its stamps; NIR and laboratory have their own clocks."""
    own = {*_TAGS[Instrument.NIR], LAB.TAKEN}
    moved = {
        tag: item if tag in own else Value(item.value, item.status, item.source_time + offset)
        for tag, item in values.items()
    }
    now = moved[PLC.TIME]
    if isinstance(now.value, (int, float)):
        moved[PLC.TIME] = Value(now.value + offset, now.status, now.source_time)
    return moved
