"""The PLC's process image: every tag of the signal list, from state, readings and counters.

The one place where the stand-in turns SI into plant units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hil.plc.modes import available, owner, permit
from hil.plc.parameters import PlcParameters
from hil.plc.state import PlcState
from hil.readings import FeederReadings, LabReading, Reading, Readings
from plant_models.signals import APC, BAD, GOOD, LAB, MV, PLC, Payload, SignalTable, Value, is_good
from plant_models.units import UNITS

__all__ = ["INITIAL_VALUE", "WAITING", "Counters", "Registers", "blank_readings", "process_image"]

WAITING = 0x80320000  # Bad_WaitingForInitialData
INITIAL_VALUE = 0x40920000  # Uncertain_InitialValue

Registers = Mapping[str, tuple[Payload, float]]  # tag -> value written, when (UTC s)

_PRESS = (
    ("Line/Press/MainForce/PV", "main_force"),
    ("Line/Press/MainForceRSD/PV", "main_force_rsd"),
    ("Line/Press/PreForce/PV", "pre_force"),
    ("Line/Press/PreForceRSD/PV", "pre_force_rsd"),
    ("Line/Press/EjectionForce/PV", "ejection"),
    ("Line/Blender/Torque/PV", "torque"),
    ("Line/Chute/Level/PV", "level"),
    ("Line/FeedFrame/Potency/PV", "potency"),
    ("Line/FeedFrame/PaddleSpeed/PV", "paddle_speed"),
)
_FEEDBACK = {
    MV.MAIN_FORCE: "main_force",
    MV.FILL_DEPTH: "fill_depth",
    MV.THICKNESS: "thickness",
    MV.TURRET_SPEED: "turret_speed",
    MV.BLENDER_SPEED: "blender_speed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Tablets since the run began."""

    made: int
    rejected: int
    diverted: int
    released: int


def blank_readings(feeders: int) -> Readings:
    """What the PLC reads before the instruments have measured anything: all Bad."""
    none = Reading(0.0, WAITING, -1.0)
    return Readings(
        second=-1,
        feeders=tuple(
            FeederReadings(weight=none, flow=none, screw_speed=none, level=none, lot="")
            for _ in range(feeders)
        ),
        blender_speed=none,
        torque=none,
        level=none,
        potency=none,
        paddle_speed=none,
        main_force=none,
        main_force_rsd=none,
        pre_force=none,
        pre_force_rsd=none,
        ejection=none,
        turret_speed=none,
        fill_depth=none,
        thickness=none,
        revolution=0,
        made=0,
        tablet_force=np.zeros(0),
        tablet_station=np.zeros(0, dtype=np.int64),
        lab=None,
    )


def process_image(
    table: SignalTable,
    p: PlcParameters,
    state: PlcState,
    readings: Readings,
    counters: Counters,
    registers: Registers,
    *,
    start: float,
    speed: float,
) -> dict[str, Value]:
    """Every tag of ``table`` in its plant unit.

    Parameters
    ----------
    table, p
        Signal list and PLC parameters.
    state, readings, counters
        PLC state, newest readings (SI), tablet counters.
    registers
        What controllers wrote last.
    start
        Plant second 0 [s, UTC]; a reading of plant second ``k`` belongs to ``start + k + 1``.
    speed
        What ``PLC/SPEED`` shows.
    """
    now = start + state.heartbeat
    image: dict[str, Value] = {}
    _feeders(image, state, readings, now, start + 1.0)
    for tag, name in _PRESS:
        image[tag] = _shown(getattr(readings, name), UNITS[table[tag].unit].factor, start + 1.0)
    turret = readings.turret_speed
    rate = Reading(turret.value * p.press.stations, turret.status, turret.second)
    image["Line/Press/TabletRate/PV"] = _shown(rate, UNITS["1/h"].factor, start + 1.0)
    _lab(image, readings.lab, now, start + 1.0)
    for name, count in (
        ("Made", counters.made),
        ("Rejected", counters.rejected),
        ("Diverted", counters.diverted),
        ("Released", counters.released),
    ):
        image[f"Line/Press/{name}/PV"] = Value(count, GOOD, now)
    _manipulated(image, p, state, readings, registers, now, start + 1.0)
    _plc(image, p, state, speed, now)
    _apc(image, p, state, registers, now)
    return image


def _shown(reading: Reading, factor: float, offset: float) -> Value:
    return Value(reading.value / factor, reading.status, offset + reading.second)


def _feeders(
    image: dict[str, Value], state: PlcState, readings: Readings, now: float, offset: float
) -> None:
    kg_h, rpm, percent = UNITS["kg/h"].factor, UNITS["rpm"].factor, UNITS["%"].factor
    for i, (plc, seen) in enumerate(zip(state.feeders, readings.feeders, strict=True), start=1):
        unit = f"Line/Feeder{i}"
        image[f"{unit}/Weight/PV"] = _shown(seen.weight, 1.0, offset)
        image[f"{unit}/MassFlow/PV"] = _shown(seen.flow, kg_h, offset)
        image[f"{unit}/MassFlow/SP"] = Value(plc.rate / kg_h, GOOD, now)
        image[f"{unit}/ScrewSpeed/PV"] = _shown(seen.screw_speed, rpm, offset)
        image[f"{unit}/HopperLevel/PV"] = _shown(seen.level, percent, offset)
        image[f"{unit}/Refill/PV"] = Value(plc.phase.value, GOOD, now)
        image[f"{unit}/Lot/PV"] = Value(seen.lot, GOOD if seen.lot else WAITING, now)


def _lab(image: dict[str, Value], lab: LabReading | None, now: float, offset: float) -> None:
    if lab is None:
        image[LAB.ID] = Value(0, GOOD, now)
        for tag in (LAB.TAKEN, LAB.WEIGHT, LAB.THICKNESS, LAB.FORCE):
            image[tag] = Value(None, WAITING, now)
        return
    published = offset + lab.published
    mg, mm = UNITS["mg"].factor, UNITS["mm"].factor
    image[LAB.ID] = Value(lab.number, GOOD, published)
    image[LAB.TAKEN] = Value(offset + lab.taken, GOOD, published)
    image[LAB.WEIGHT] = Value(tuple(w / mg for w in lab.weight), GOOD, published)
    image[LAB.THICKNESS] = Value(tuple(t / mm for t in lab.thickness), GOOD, published)
    image[LAB.FORCE] = Value(lab.force, GOOD, published)


def _flow_feedback(p: PlcParameters, readings: Readings, tag: str) -> Reading:
    """Total feed or a ratio as the load cells see it; as good as the worst of the flows."""
    flows = [f.flow for f in readings.feeders]
    total = sum(f.value for f in flows)
    status = max((f.status for f in flows), key=lambda s: s & 0xC0000000)
    second = max(f.second for f in flows)
    if tag == MV.TOTAL_FEED:
        return Reading(total, status, second)
    index = p.api if tag == MV.API_RATIO else p.lubricant
    if total <= 0.0 or index < 0:
        return Reading(0.0, BAD if is_good(status) else status, second)
    return Reading(flows[index].value / total, status, second)


def _manipulated(
    image: dict[str, Value],
    p: PlcParameters,
    state: PlcState,
    readings: Readings,
    registers: Registers,
    now: float,
    offset: float,
) -> None:
    for tag, limit in p.limits.items():
        mv, factor = state.mvs[tag], UNITS[limit.unit].factor
        written = registers.get(f"{tag}/REQ")
        if written is None:
            image[f"{tag}/REQ"] = Value(mv.act / factor, INITIAL_VALUE, now)
        else:
            image[f"{tag}/REQ"] = Value(written[0], GOOD, written[1])
        image[f"{tag}/ACT"] = Value(mv.act / factor, GOOD, now)
        name = _FEEDBACK.get(tag)
        seen = getattr(readings, name) if name else _flow_feedback(p, readings, tag)
        image[f"{tag}/FBK"] = _shown(seen, factor, offset)
        image[f"{tag}/SRC"] = Value(owner(p, state, tag).value, GOOD, now)
        image[f"{tag}/AVAIL"] = Value(available(p, state, tag), GOOD, now)
        move = p.period_move(tag) / factor
        image[f"{tag}/LO"] = Value(limit.lo / factor, GOOD, now)
        image[f"{tag}/HI"] = Value(limit.hi / factor, GOOD, now)
        image[f"{tag}/RATE_UP"] = Value(move, GOOD, now)
        image[f"{tag}/RATE_DN"] = Value(move, GOOD, now)
        image[f"{tag}/CLAMPED"] = Value(mv.clamped, GOOD, now)


def _plc(
    image: dict[str, Value], p: PlcParameters, state: PlcState, speed: float, now: float
) -> None:
    rows: tuple[tuple[str, Payload], ...] = (
        (PLC.HB, state.heartbeat),
        (PLC.SCAN_ID, state.heartbeat),
        (PLC.TIME, now),
        (PLC.SPEED, speed),
        (PLC.MODE_ACT, state.lease.mode.value),
        (PLC.LINE_STATE, state.sequence.line.value),
        (PLC.RECIPE_ID, p.recipe_id),
        (PLC.PERMIT, permit(state)),
        (PLC.DIVERTER, state.diverter.position.value),
        (PLC.SHED_CAUSE, state.lease.shed_cause),
        (PLC.SHED_COUNT, state.lease.shed_count),
        (PLC.REJECTED_COUNT, sum(state.lease.refused.values())),
        (PLC.MODEL_VERSION, p.model_version),
    )
    for tag, value in rows:
        image[tag] = Value(value, GOOD, now)


def _apc(
    image: dict[str, Value], p: PlcParameters, state: PlcState, registers: Registers, now: float
) -> None:
    blank: tuple[tuple[str, Payload], ...] = (
        (APC.HB, 0),
        (APC.SEQ_HEAD, 0),
        (APC.ECHO, 0),
        (APC.SEQ_TAIL, 0),
        (APC.STATE, "OFF"),
        (APC.DIVERT_REQ, False),
    )
    for tag, value in blank:
        written = registers.get(tag)
        if written is None:
            image[tag] = Value(value, INITIAL_VALUE, now)
        else:
            image[tag] = Value(written[0], GOOD, written[1])
    image[APC.EPOCH] = Value(state.lease.epoch if state.lease.active else 0, GOOD, now)
    image[APC.WATCHDOG_S] = Value(p.config.watchdog_s, GOOD, now)
