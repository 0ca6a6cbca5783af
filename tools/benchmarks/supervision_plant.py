"""A plant to fuzz against: the real rules of the PLC, a process image that may lie, and its log.

The PLC's state changes only through `hil.plc`: handshake, watchdog, modes, ramps. There is no
physics. What a read shows is the image with *lies* laid over it; what arrives is logged as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hil.plc.handshake import apply_frame, received_frame, request_control
from hil.plc.modes import available, operator_set, owner, set_local, shed, watchdog_cause
from hil.plc.parameters import PlcParameters
from hil.plc.ramps import ramp
from hil.plc.state import PlcState, SequenceState, initial_state
from plant_models.signals import (
    APC,
    MV,
    PLC,
    DataType,
    LineState,
    Payload,
    SignalTable,
    Snapshot,
    Value,
)
from plant_models.units import UNITS

__all__ = ["FORCE", "FuzzPlant", "Lie", "WriteFault"]

FORCE = "Line/Press/MainForce/PV"
_FRAME = frozenset({APC.SEQ_HEAD, APC.SEQ_TAIL, APC.ECHO, APC.EPOCH, APC.DIVERT_REQ})

Writes = Mapping[str, Payload]


class WriteFault(Exception):
    """A write that was not answered in time."""


@dataclass(frozen=True, slots=True)
class Lie:
    """Another value of ``tag`` than the true one, shown until cycle ``until``."""

    tag: str
    until: int
    of: Callable[[Value], Value]


@dataclass(slots=True)
class FuzzPlant:
    """PLC, image and log. ``received`` and ``calls`` are what arrived since they were cleared.

    ``write_fault`` is what befalls the next frame: ``lost``, ``late``, ``denied``, ``altered`` or
    nothing; ``offset`` is how far the plant's clock has jumped [s].
    """

    parameters: PlcParameters
    table: SignalTable
    start: float
    state: PlcState = field(init=False)
    image: dict[str, Value] = field(init=False)
    lies: list[Lie] = field(default_factory=list)
    received: list[Writes] = field(default_factory=list)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    late: list[Writes] = field(default_factory=list)
    write_fault: str = ""
    offset: float = 0.0
    session: str = "fuzz"
    _owners: dict[Any, dict[str, Value]] = field(default_factory=dict)
    _shown: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = initial_state(self.parameters)
        limits = self.parameters.limits
        self.state = replace(
            state,
            heartbeat=1000,
            mvs={
                t: replace(mv, act=limits[t].nominal, target=limits[t].nominal)
                for t, mv in state.mvs.items()
            },
            sequence=SequenceState(line=LineState.RUNNING),
        )
        self.image = {s.tag: Value(_blank(s.data_type)) for s in self.table if s.read_every_cycle}
        for tag, limit in limits.items():
            factor, move = UNITS[limit.unit].factor, self.parameters.period_move(tag)
            for part, value in (
                ("LO", limit.lo),
                ("HI", limit.hi),
                ("RATE_UP", move),
                ("RATE_DN", move),
                ("FBK", limit.nominal),
                ("REQ", limit.nominal),
            ):
                if f"{tag}/{part}" in self.image:
                    self.image[f"{tag}/{part}"] = Value(value / factor)
        self.image[PLC.RECIPE_ID] = Value(self.parameters.recipe_id)
        self.image[PLC.MODEL_VERSION] = Value(self.parameters.model_version)
        self._publish()

    # Time

    def tick(self, seconds: int) -> None:
        """Let time pass: ramps, the watchdog, and late writes that arrive now."""
        state, limits = self.state, self.parameters.limits
        mvs = state.mvs
        if any(mv.act != mv.target for mv in mvs.values()):
            mvs = {t: ramp(limits[t], mv, seconds) for t, mv in mvs.items()}
        state = replace(state, heartbeat=state.heartbeat + seconds, mvs=mvs)
        cause = watchdog_cause(self.parameters, state)
        self.state = shed(self.parameters, state, cause) if cause else state
        late, self.late = self.late, []
        for writes in late:
            self._take(writes)
        self._publish()

    @property
    def time(self) -> float:
        """Plant time by its own clock [s, UTC]."""
        return self.start + self.state.heartbeat + self.offset

    def read(self, cycle: int) -> Snapshot:
        """What one batched read shows in ``cycle``."""
        values = self.image.copy()
        if self.lies:
            self.lies = [lie for lie in self.lies if cycle <= lie.until]
            for lie in self.lies:
                values[lie.tag] = lie.of(values[lie.tag])
        return Snapshot(time=self.time, scan_id=self.state.heartbeat, values=values)

    def _publish(self) -> None:
        """Bring what changes by itself up to date in the image."""
        state, image, now = self.state, self.image, self.time
        lease, sequence = state.lease, state.sequence
        image[PLC.HB] = image[PLC.SCAN_ID] = Value(state.heartbeat, 0, now)
        image[PLC.TIME] = Value(now, 0, now)
        image[FORCE] = Value(7.0 + 0.001 * (state.heartbeat % 97), 0, now)
        image[PLC.MODE_ACT] = Value(lease.mode.value)
        image[PLC.LINE_STATE] = Value(sequence.line.value)
        image[PLC.PERMIT] = Value(not sequence.interlock)
        image[PLC.REJECTED_COUNT] = Value(sum(lease.refused.values()))
        image[APC.EPOCH] = Value(lease.epoch if lease.active else 0)
        shown = self._shown
        for tag, mv in state.mvs.items():
            if shown.get(tag) != mv.act:
                unit = self.parameters.limits[tag].unit
                shown[tag] = mv.act
                image[f"{tag}/ACT"] = Value(mv.act / UNITS[unit].factor)
        image.update(self._owner_values())

    def _owner_values(self) -> dict[str, Value]:
        """``SRC`` and ``AVAIL`` of every MV; they depend on little, so they are kept."""
        state = self.state
        local = tuple(mv.local for mv in state.mvs.values())
        key = (state.lease.mode, state.sequence.line, bool(state.sequence.interlock), local)
        found = self._owners.get(key)
        if found is None:
            found = {}
            for tag in state.mvs:
                found[f"{tag}/SRC"] = Value(owner(self.parameters, state, tag).value)
                found[f"{tag}/AVAIL"] = Value(available(self.parameters, state, tag))
            self._owners[key] = found
        return found

    # What arrives

    async def write(self, writes: Writes) -> Mapping[str, int]:
        """One Write call; what `write_fault` says befalls it if it is a frame."""
        if not _FRAME & writes.keys():
            self.received.append(dict(writes))
            self._register(writes)
            return dict.fromkeys(writes, 0)
        fault, self.write_fault = self.write_fault, ""
        if fault == "lost":
            self.received.append(dict(writes))
            raise WriteFault("no answer to a write")
        if fault == "late":
            self.received.append(dict(writes))
            self.late.append(dict(writes))
            raise WriteFault("no answer to a write")
        if fault == "denied":
            self.received.append(dict(writes))
            return dict.fromkeys(writes, 0x801F0000)
        self.received.append(dict(writes))
        self._take(writes)
        if fault == "altered":
            tag = f"{MV.MAIN_FORCE}/REQ"
            self.image[tag] = Value(float(self.image[tag].value or 0.0) + 0.05)  # type: ignore[arg-type]
        self._publish()
        return dict.fromkeys(writes, 0)

    def _take(self, writes: Writes) -> None:
        self._register(writes)
        frame = received_frame(writes, self.parameters.limits)
        self.state, _ = apply_frame(self.parameters, self.state, frame)

    def _register(self, writes: Writes) -> None:
        for tag, value in writes.items():
            if tag != APC.EPOCH and tag in self.image:
                self.image[tag] = Value(value)

    def request_control(self, mode: str, epoch: int, reason: str) -> str:
        """The method of the controller; logged."""
        self.calls.append(("RequestControl", mode, str(epoch), reason))
        return self._granted(self.session, mode, epoch, reason)

    def _granted(self, session: str, mode: str, epoch: int, reason: str) -> str:
        self.state, answer = request_control(
            self.parameters,
            self.state,
            session=session,
            user=session,
            mode=mode,
            epoch=epoch,
            reason=reason,
        )
        self._publish()
        return answer

    async def operator_set(self, mv: str, value: float, reason: str) -> str:
        """The operator's method; logged."""
        self.calls.append(("OperatorSet", mv, repr(value), reason))
        self.state, answer = operator_set(self.parameters, self.state, mv, value, reason)
        self._publish()
        return answer

    # What happens to it

    def line(self, state: LineState, interlock: str = "") -> None:
        """The sequence is in another state; back in running the watchdog begins anew."""
        lease = self.state.lease
        if state is LineState.RUNNING:
            lease = replace(lease, accepted_hb=self.state.heartbeat, fresh=True)
        self.state = replace(
            self.state, sequence=SequenceState(line=state, interlock=interlock), lease=lease
        )
        self._publish()

    def to_local(self) -> None:
        """The operator takes the PLC back."""
        self.state = shed(self.parameters, self.state, "the operator took over")
        self._publish()

    def other_controller(self, epoch: int) -> None:
        """Somebody else takes the lease over."""
        self._granted("other", "CASCADE", epoch, "another controller")

    def keep_local(self, tag: str, local: bool) -> None:
        """The operator keeps one set point, or gives it back."""
        self.state, _ = set_local(self.parameters, self.state, tag, local, "by hand")
        self._publish()

    def move(self, tag: str, value: float) -> None:
        """A set point is somewhere else [SI], however it got there."""
        mv = replace(self.state.mvs[tag], act=value, target=value)
        self.state = replace(self.state, mvs={**self.state.mvs, tag: mv})
        self._publish()

    def lie(self, tag: str, until: int, of: Callable[[Value], Value]) -> None:
        """Show something else for ``tag`` up to and including cycle ``until``."""
        self.lies.append(Lie(tag, until, of))


def _blank(kind: DataType) -> Payload:
    if kind is DataType.STRING:
        return ""
    if kind is DataType.BOOLEAN:
        return False
    if kind is DataType.DOUBLE_ARRAY:
        return ()
    return 0.0 if kind in (DataType.DOUBLE, DataType.DATETIME) else 0
