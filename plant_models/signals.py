"""The signal list: every tag of the line with its role, unit, range and direction.

Server nodes, the default tag map, historian columns and the controller's conversions are all
generated from one `SignalTable`, which `plant_models.signal_list` builds for a line. Also here,
because both sides of the OPC UA link need them: the records that cross the link (`Value`,
`Snapshot`, `CommandFrame`), the names of the handshake, and the `Clock` protocol.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Protocol

from plant_models.units import from_si, to_si

__all__ = [
    "APC",
    "BAD",
    "CONTROLLER_URI",
    "GOOD",
    "LAB",
    "MV",
    "PLANT_URI",
    "PLC",
    "UNCERTAIN",
    "Clock",
    "CommandFrame",
    "DataType",
    "LineState",
    "MvSpec",
    "PlcMode",
    "RefillPhase",
    "Signal",
    "SignalTable",
    "Snapshot",
    "Value",
    "Writer",
    "is_bad",
    "is_good",
]

GOOD = 0x00000000
UNCERTAIN = 0x40000000
BAD = 0x80000000

PLANT_URI = "urn:twinline:plant"
CONTROLLER_URI = "urn:twinline:controller"

Scalar = float | int | bool | str
Payload = Scalar | tuple[float, ...] | None


def is_good(status: int) -> bool:
    """Whether an OPC UA status code has severity Good (OPC 10000-4, 7.39)."""
    return status & 0xC0000000 == GOOD


def is_bad(status: int) -> bool:
    """Whether an OPC UA status code has severity Bad."""
    return status & BAD != 0


class DataType(StrEnum):
    """Data types on the wire."""

    DOUBLE = "Double"
    INT32 = "Int32"
    INT64 = "Int64"
    UINT32 = "UInt32"
    BOOLEAN = "Boolean"
    STRING = "String"
    DATETIME = "DateTime"
    DOUBLE_ARRAY = "Double[]"


class Writer(StrEnum):
    """Who may write a tag over the link."""

    PLANT = "plant"
    CONTROLLER = "controller"


class LineState(StrEnum):
    """States of the line (ISA-88 names), owned by the PLC."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    HOLDING = "holding"
    HELD = "held"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ABORTED = "aborted"


class PlcMode(StrEnum):
    """Who sets the set points: the operator, or the controller in one of two structures."""

    LOCAL = "LOCAL"
    CASCADE = "CASCADE"
    REMOTE = "REMOTE"


class RefillPhase(StrEnum):
    """Phases of a refill; outside NONE and REQUEST the screw is volumetric."""

    NONE = "none"
    REQUEST = "request"
    ACTIVE = "active"
    SETTLING = "settling"


class MV:
    """Tags of the manipulated variables: objects with REQ, ACT, FBK and so on."""

    TOTAL_FEED = "Line/Formulation/TotalFeed"
    API_RATIO = "Line/Formulation/ApiRatio"
    LUBRICANT_RATIO = "Line/Formulation/LubricantRatio"
    MAIN_FORCE = "Line/Press/MainForceSP"
    FILL_DEPTH = "Line/Press/FillDepth"
    THICKNESS = "Line/Press/Thickness"
    TURRET_SPEED = "Line/Press/TurretSpeed"
    BLENDER_SPEED = "Line/Blender/Speed"


class PLC:
    """Tags of the PLC's own state."""

    HB = "Line/PLC/HB"
    SCAN_ID = "Line/PLC/SCAN_ID"
    TIME = "Line/PLC/TIME"
    SPEED = "Line/PLC/SPEED"
    MODE_ACT = "Line/PLC/MODE_ACT"
    LINE_STATE = "Line/PLC/LINE_STATE"
    RECIPE_ID = "Line/PLC/RECIPE_ID"
    PERMIT = "Line/PLC/PERMIT"
    DIVERTER = "Line/PLC/DIVERTER"
    SHED_CAUSE = "Line/PLC/SHED_CAUSE"
    SHED_COUNT = "Line/PLC/SHED_COUNT"
    REJECTED_COUNT = "Line/PLC/REJECTED_COUNT"
    MODEL_VERSION = "Line/PLC/MODEL_VERSION"
    REQUEST_CONTROL = "Line/PLC/RequestControl"
    OPERATOR_SET = "Line/PLC/OperatorSet"
    SET_LOCAL = "Line/PLC/SetLocal"
    LINE_COMMAND = "Line/PLC/LineCommand"
    LOAD_RECIPE = "Line/PLC/LoadRecipe"


class APC:
    """Tags that the controller writes: heartbeat, and the frame around the requests."""

    HB = "Line/APC/HB"
    SEQ_HEAD = "Line/APC/SEQ_HEAD"
    ECHO = "Line/APC/ECHO"
    EPOCH = "Line/APC/EPOCH"
    SEQ_TAIL = "Line/APC/SEQ_TAIL"
    STATE = "Line/APC/STATE"
    WATCHDOG_S = "Line/APC/WATCHDOG_S"
    DIVERT_REQ = "Line/APC/DIVERT_REQ"


class LAB:
    """Tags of the at-line tester: one sample at a time."""

    ID = "Line/Lab/Sample/ID"
    TAKEN = "Line/Lab/Sample/TAKEN"
    WEIGHT = "Line/Lab/Sample/WEIGHT"
    THICKNESS = "Line/Lab/Sample/THICKNESS"
    FORCE = "Line/Lab/Sample/FORCE"


class Clock(Protocol):
    """Source of time, injected: nobody of ours asks the operating system."""

    def now(self) -> float:
        """UTC as seconds since 1970-01-01."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back, for waiting and for durations."""
        ...


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it came over the link: plant unit, OPC UA status code, source time [s, UTC]."""

    value: Payload
    status: int = GOOD
    source_time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one batched read returned: plant time [s, UTC], scan counter, all tags."""

    time: float
    scan_id: int
    values: Mapping[str, Value]

    def number(self, tag: str) -> float | None:
        """Value of ``tag`` in its plant unit if its status is Good and it is a number."""
        item = self.values.get(tag)
        if item is None or not is_good(item.status) or isinstance(item.value, (bool, str, tuple)):
            return None
        return None if item.value is None else float(item.value)

    def text(self, tag: str) -> str | None:
        """Value of ``tag`` as text if its status is Good."""
        item = self.values.get(tag)
        if item is None or not is_good(item.status) or item.value is None:
            return None
        return str(item.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFrame:
    """One command: taken whole by the PLC or not at all.

    ``requests`` maps MV tags to values in plant units; ``echo`` is the `PLC.HB` that the command
    was computed from, ``epoch`` the holder of the lease.
    """

    sequence: int
    requests: Mapping[str, float]
    echo: int
    epoch: int
    divert: bool = False

    def as_writes(self) -> dict[str, Scalar]:
        """The frame as one batch of writes, head first and tail last."""
        return {
            APC.SEQ_HEAD: self.sequence,
            **{f"{tag}/REQ": value for tag, value in self.requests.items()},
            APC.ECHO: self.echo,
            APC.EPOCH: self.epoch,
            APC.DIVERT_REQ: self.divert,
            APC.SEQ_TAIL: self.sequence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MvSpec:
    """A manipulated variable: range and rate in plant units; rate per second."""

    tag: str
    unit: str
    nominal: float
    lo: float
    hi: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One tag. ``lo``, ``hi`` are the engineering range in the plant unit."""

    tag: str
    data_type: DataType
    unit: str = ""
    lo: float | None = None
    hi: float | None = None
    writer: Writer = Writer.PLANT
    read_every_cycle: bool = True
    description: str = ""

    def to_si(self, value: float) -> float:
        """Plant unit to SI."""
        return to_si(value, self.unit)

    def from_si(self, value: float) -> float:
        """SI to plant unit."""
        return from_si(value, self.unit)


@dataclass(frozen=True, slots=True)
class SignalTable:
    """All tags of a line and its manipulated variables, in a fixed order."""

    signals: tuple[Signal, ...]
    manipulated: tuple[MvSpec, ...]
    _index: Mapping[str, Signal] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {s.tag: s for s in self.signals})

    def __getitem__(self, tag: str) -> Signal:
        return self._index[tag]

    def __contains__(self, tag: object) -> bool:
        return tag in self._index

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def mv(self, tag: str) -> MvSpec:
        """Specification of the manipulated variable ``tag``."""
        for spec in self.manipulated:
            if spec.tag == tag:
                return spec
        raise KeyError(tag)

    def model_version(self) -> str:
        """Short hash of the list: both sides must agree on it before anything is written."""
        payload = json.dumps(
            [asdict(s) for s in self.signals] + [asdict(m) for m in self.manipulated],
            sort_keys=True,
        )
        return hashlib.sha256(payload.encode()).hexdigest()[:16]
