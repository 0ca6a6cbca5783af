"""Builds the signal list of a configured line."""

from __future__ import annotations

from plant_models.config import LineConfig
from plant_models.signals import APC, LAB, MV, PLC, DataType, MvSpec, Signal, SignalTable, Writer
from plant_models.units import LABEL_PERCENT

__all__ = ["signal_table"]


def signal_table(config: LineConfig) -> SignalTable:
    """Every tag of the line, in a fixed order, with its manipulated variables."""
    mvs = tuple(
        MvSpec(
            tag=m.tag,
            unit=m.unit,
            nominal=m.nominal,
            lo=m.lo,
            hi=m.hi,
            rate=m.move_per_5s / 5.0,
        )
        for m in config.manipulated
    )
    signals: list[Signal] = []
    for index, feeder in enumerate(config.feeders, start=1):
        signals += _feeder_signals(f"Line/Feeder{index}", feeder.hopper_kg)
    signals += _unit_signals(config, _force_range(mvs))
    for spec in mvs:
        signals += _mv_signals(spec)
    signals += _plc_signals() + _apc_signals()
    return SignalTable(tuple(signals), mvs)


def _double(tag: str, unit: str, lo: float, hi: float, text: str, *, cycle: bool = True) -> Signal:
    return Signal(
        tag=tag,
        data_type=DataType.DOUBLE,
        unit=unit,
        lo=lo,
        hi=hi,
        description=text,
        read_every_cycle=cycle,
    )


def _feeder_signals(unit: str, hopper: float) -> list[Signal]:
    return [
        _double(f"{unit}/Weight/PV", "kg", 0.0, 1.2 * hopper, "hopper content by load cell"),
        _double(f"{unit}/MassFlow/PV", "kg/h", 0.0, 60.0, "flow: slope of the weight"),
        _double(f"{unit}/MassFlow/SP", "kg/h", 0.0, 60.0, "rate set point in use"),
        _double(f"{unit}/ScrewSpeed/PV", "rpm", 0.0, 400.0, "screw speed"),
        _double(f"{unit}/HopperLevel/PV", "%", 0.0, 120.0, "hopper content, share of capacity"),
        Signal(
            tag=f"{unit}/Refill/PV",
            data_type=DataType.STRING,
            description="refill phase: none, request, active, settling",
        ),
        Signal(tag=f"{unit}/Lot/PV", data_type=DataType.STRING, description="lot in the hopper"),
    ]


def _force_range(mvs: tuple[MvSpec, ...]) -> float:
    """Upper end of the force transducers [kN]: 20, or 25 % above the highest set point."""
    return max(20.0, *(1.25 * m.hi for m in mvs if m.tag == MV.MAIN_FORCE))


def _unit_signals(config: LineConfig, force: float) -> list[Signal]:
    tablets = config.instruments.lab_tablets
    return [
        _double("Line/Blender/Torque/PV", "N m", 0.0, 20.0, "impeller torque", cycle=False),
        _double("Line/Chute/Level/PV", "%", 0.0, 120.0, "height, that is volume"),
        _double("Line/FeedFrame/Potency/PV", LABEL_PERCENT, 0.0, 200.0, "NIR in the feed frame"),
        _double("Line/FeedFrame/PaddleSpeed/PV", "rpm", 0.0, 150.0, "paddle speed"),
        _double("Line/Press/TabletRate/PV", "1/h", 0.0, 1e6, "tablets made per hour"),
        _double("Line/Press/MainForce/PV", "kN", 0.0, force, "mean main force, last revolution"),
        _double("Line/Press/MainForceRSD/PV", "%", 0.0, 50.0, "its RSD over the stations"),
        _double("Line/Press/PreForce/PV", "kN", 0.0, force, "mean pre-compression force"),
        _double("Line/Press/PreForceRSD/PV", "%", 0.0, 50.0, "its RSD over the stations"),
        _double("Line/Press/EjectionForce/PV", "N", 0.0, 1000.0, "mean ejection force"),
        *[
            Signal(
                tag=f"Line/Press/{name}/PV",
                data_type=DataType.INT64,
                description=f"tablets {name.lower()} since the run began",
            )
            for name in ("Made", "Rejected", "Diverted", "Released")
        ],
        Signal(tag=LAB.ID, data_type=DataType.INT64, description="number of the newest sample"),
        Signal(tag=LAB.TAKEN, data_type=DataType.DATETIME, description="when it was taken"),
        *[
            Signal(
                tag=tag,
                data_type=DataType.DOUBLE_ARRAY,
                unit=unit,
                lo=0.0,
                hi=hi,
                description=f"{text} of {tablets} tablets",
            )
            for tag, unit, hi, text in (
                (LAB.WEIGHT, "mg", 2000.0, "weight"),
                (LAB.THICKNESS, "mm", 20.0, "thickness"),
                (LAB.FORCE, "N", 1000.0, "breaking force"),
            )
        ],
    ]


def _mv_signals(spec: MvSpec) -> list[Signal]:
    span = spec.hi - spec.lo
    lo, hi = spec.lo - 0.5 * span, spec.hi + 0.5 * span
    return [
        Signal(
            tag=f"{spec.tag}/REQ",
            data_type=DataType.DOUBLE,
            unit=spec.unit,
            lo=spec.lo,
            hi=spec.hi,
            writer=Writer.CONTROLLER,
            description="requested by the controller",
        ),
        _double(f"{spec.tag}/ACT", spec.unit, lo, hi, "set point in use"),
        _double(f"{spec.tag}/FBK", spec.unit, lo, hi, "feedback of the drive or loop"),
        Signal(
            tag=f"{spec.tag}/SRC",
            data_type=DataType.STRING,
            description="owner: LOCAL, CONTROLLER, LOOP or SEQUENCE",
        ),
        Signal(
            tag=f"{spec.tag}/AVAIL",
            data_type=DataType.BOOLEAN,
            description="the controller may move it now",
        ),
        *[
            _double(f"{spec.tag}/{name}", spec.unit, lo, hi, text)
            for name, text in (("LO", "the PLC's lower clamp"), ("HI", "the PLC's upper clamp"))
        ],
        *[
            _double(f"{spec.tag}/{name}", spec.unit, 0.0, span, text)
            for name, text in (
                ("RATE_UP", "largest rise per control period"),
                ("RATE_DN", "largest fall per control period"),
            )
        ],
        Signal(
            tag=f"{spec.tag}/CLAMPED",
            data_type=DataType.INT32,
            description="-1 held at the lower limit, +1 at the upper, 2 rate-limited, 0 free",
        ),
    ]


def _plc_signals() -> list[Signal]:
    rows = (
        (PLC.HB, DataType.INT64, "heartbeat, +1 per plant second"),
        (PLC.SCAN_ID, DataType.INT64, "scan counter"),
        (PLC.TIME, DataType.DATETIME, "plant time, UTC"),
        (PLC.SPEED, DataType.DOUBLE, "1 real time, X accelerated, 0 lock-step"),
        (PLC.MODE_ACT, DataType.STRING, "LOCAL, CASCADE or REMOTE"),
        (PLC.LINE_STATE, DataType.STRING, "state of the line"),
        (PLC.RECIPE_ID, DataType.STRING, "product set loaded in the PLC"),
        (PLC.PERMIT, DataType.BOOLEAN, "the PLC allows remote control: no active interlock"),
        (PLC.DIVERTER, DataType.STRING, "collect, divert or moving"),
        (PLC.SHED_CAUSE, DataType.STRING, "why control was last shed"),
        (PLC.SHED_COUNT, DataType.INT64, "sheds since the run began"),
        (PLC.REJECTED_COUNT, DataType.INT64, "command frames refused since the run began"),
        (PLC.MODEL_VERSION, DataType.STRING, "hash of the signal list"),
    )
    return [Signal(tag=t, data_type=d, description=text) for t, d, text in rows]


def _apc_signals() -> list[Signal]:
    rows = (
        (APC.HB, DataType.INT64, "controller heartbeat: +1 at the end of each cycle"),
        (APC.SEQ_HEAD, DataType.INT64, "frame number, first in the frame"),
        (APC.ECHO, DataType.INT64, "PLC/HB that the command was computed from"),
        (APC.EPOCH, DataType.INT64, "holder of the lease"),
        (APC.SEQ_TAIL, DataType.INT64, "frame number, last in the frame"),
        (APC.STATE, DataType.STRING, "mode of the controller"),
        (APC.DIVERT_REQ, DataType.BOOLEAN, "asks the PLC to divert; never to collect"),
    )
    return [
        Signal(
            tag=t,
            data_type=d,
            writer=Writer.CONTROLLER,
            read_every_cycle=t == APC.EPOCH,
            description=text,
        )
        for t, d, text in rows
    ] + [
        Signal(
            tag=APC.WATCHDOG_S,
            data_type=DataType.DOUBLE,
            unit="s",
            lo=0.0,
            hi=600.0,
            description="the PLC sheds after this time without an accepted command",
        )
    ]
