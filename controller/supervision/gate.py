"""The write gate: decides whether anything goes out, and is the only holder of what writes.

Two things may leave. A command frame moves the set points of a closed loop; `Gate.decide` makes
it, only with the `Authority` that supervision gave for this very cycle. An order is an advised move
that an operator accepted; `Gate.order` makes it and the PLC takes it in LOCAL, in the operator's
name. Both are pure. `WriteGate` alone holds the writers and carries them out. Nobody else builds a
`CommandFrame` or an `OperatorOrder`, and nobody else calls a writer; tests hold us to it.

What is missing, unreadable or contradicts itself withholds the whole frame, with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.data import Command, Mode, Plan, Validated
from controller.supervision.authority import Authority
from controller.supervision.bumpless import limited_move
from controller.supervision.gate_checks import (
    lost_for_orders,
    no_leave,
    not_local,
    not_ours,
    not_read_back,
    stale_advice,
    useless,
)
from controller.supervision.gate_limits import MvTags, finite_number, mv_tags, tight_bounds
from controller.supervision.permissives import Name, Permissive
from plant_models.signals import APC, CommandFrame, PlcMode, SignalTable, Snapshot

__all__ = [
    "Gate",
    "GateError",
    "OperatorOrder",
    "OperatorPort",
    "PlantWriter",
    "WriteGate",
    "withhold",
]

Scalar = float | int | bool | str
Limits = Mapping[str, tuple[float, float]]

_NO_LIMITS: Limits = {}
_ROUNDING = 1e-9


class GateError(RuntimeError):
    """Somebody tried to write what the gate has not let out: a mistake of ours, never swallowed."""


class PlantWriter(Protocol):
    """What the link offers for writing: one batched call, status code per tag."""

    async def write(self, writes: Mapping[str, Scalar]) -> Mapping[str, int]:
        """Write all tags in one service call; raises on time-out or a lost connection."""
        ...


class OperatorPort(Protocol):
    """The operator's way to set a set point at the PLC."""

    async def operator_set(self, mv: str, value: float, reason: str) -> str:
        """Ask the PLC to set ``mv`` to ``value`` (plant unit): ``done``, or why not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOrder:
    """An advised move that may be carried out in the operator's name; ``value`` in plant units."""

    mv: str
    value: float
    user: str
    reason: str


def withhold(*reasons: str) -> Command:
    """A command that writes nothing, with its reasons."""
    return Command(frame=None, reasons=reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Rules of one controller: what it may move, how fast and with how old a plan.

    ``owned`` are the MVs that the algorithm moves in the structure asked for; a frame carries all
    MVs, the others at the set point in use. ``debounce`` are the cycles for which a permissive that
    is not safety may be lost while writing goes on; a name that it does not know has none.
    ``set_point_steps`` is how far a set point may have moved since an advice was computed from it,
    in largest moves of one period.
    """

    table: SignalTable
    owned: frozenset[str]
    period_s: float
    plan_age_max_cycles: int
    debounce: Mapping[Name, int] = field(default_factory=dict)
    set_point_steps: float = 0.3
    _mvs: Mapping[str, MvTags] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {spec.tag: mv_tags(spec, self.period_s) for spec in self.table.manipulated}
        object.__setattr__(self, "_mvs", rows)

    def decide(
        self,
        authority: Authority | None,
        plan: Plan | None,
        validated: Validated,
        snapshot: Snapshot,
        *,
        cycle: int,
        epoch: int,
        sequence: int,
        share: float,
        limits: Limits = _NO_LIMITS,
        sent: CommandFrame | None = None,
        divert: bool = False,
    ) -> Command:
        """The frame for this cycle, or none and why.

        Parameters
        ----------
        authority
            Leave of supervision to write in this cycle; None withholds.
        plan
            Plan of this cycle; None withholds.
        validated, snapshot
            Data that the plan was made from.
        cycle
            Number of this cycle.
        epoch
            Our lease.
        sequence
            Number of the last frame sent; this one is larger, also than the scan counter, so that
            it grows across restarts of the controller.
        share
            Part of the rate that may be used (bumpless start), in (0, 1].
        limits
            Ranges (lo, hi) of operator and product by MV tag, SI.
        sent
            Frame of the cycle before if it was written: it must read back.
        divert
            Ask the plant to divert.
        """
        refusal = (
            no_leave(authority, self.debounce, cycle, snapshot)
            or useless(plan, self.plan_age_max_cycles, self.period_s, validated, snapshot)
            or not_ours(validated, epoch)
            or not_read_back(sent, snapshot)
            or ("" if 0.0 < share <= 1.0 else f"{share:g} is no share of a rate")
        )
        if plan is None or refusal:
            return withhold(refusal or "no plan")
        planned = plan.first()
        requests: dict[str, float] = {}
        reasons: list[str] = []
        for tag, mv in self._mvs.items():
            actual = finite_number(snapshot, mv.act)
            if actual is None:
                return withhold(f"{mv.act} is unreadable")
            requests[tag] = actual
            if tag not in self.owned or tag not in planned:
                continue
            if validated.available.get(tag) is not True:
                reasons.append(f"{tag} tracks: not available")
                continue
            wanted = planned[tag] / mv.factor
            if not math.isfinite(wanted):
                return withhold(f"{tag}: the plan is not a number")
            bounds = tight_bounds(mv, snapshot, limits.get(tag))
            if isinstance(bounds, str):
                return withhold(bounds)
            move = limited_move(wanted, actual, bounds, share)
            requests[tag] = move.value
            if move.limited_by:
                reasons.append(
                    f"{tag}: {wanted:.6g} limited to {move.value:.6g} {mv.unit} by "
                    f"{move.limited_by}"
                )
        frame = CommandFrame(
            sequence=max(sequence + 1, snapshot.scan_id),
            requests=requests,
            echo=validated.heartbeat,
            epoch=epoch,
            divert=divert,
        )
        return Command(frame=frame, reasons=tuple(reasons))

    def order(
        self,
        *,
        mv: str,
        value: float,
        now: float,
        made: float,
        expires: float,
        computed_from: Mapping[str, float],
        user: str,
        role: str,
        reason: str,
        objection: Callable[[str, str, str], str],
        mode: Mode,
        permissives: Mapping[Name, Permissive],
        targets: Mapping[str, float],
        validated: Validated | None,
        snapshot: Snapshot,
        limits: Limits = _NO_LIMITS,
    ) -> tuple[OperatorOrder | None, tuple[str, ...]]:
        """The order for an advice that an operator has accepted, or none and why.

        The same checks as for a frame, with every permissive but that of the controller's and the
        PLC's mode; nothing is clipped, because the operator agreed to this value and no other.

        Parameters
        ----------
        mv, value, now
            The move and the set point that it starts from, plant unit.
        made, expires
            When the advice was made and until when it holds, plant time [s, UTC].
        computed_from, targets
            Set points of the CVs [SI] then and now.
        user, role, reason
            Who accepted it, from the authenticated session, and why.
        objection
            Of (user, role, reason): why this person may not, or nothing.
        mode
            Mode of the controller; advice is given in ADVISORY alone.
        permissives
            Of this cycle, all good.
        validated, snapshot
            Of this cycle.
        limits
            Ranges (lo, hi) of operator and product by MV tag, SI.
        """
        refusal = (
            objection(user, role, reason)
            or ("" if mode is Mode.ADVISORY else f"there is no advice in {mode}")
            or stale_advice(made, expires, computed_from, targets, snapshot)
            or not_local(validated, snapshot)
            or lost_for_orders(permissives)
            or self._misfit(mv, value, now, validated, snapshot, limits)
        )
        if refusal:
            return None, (refusal,)
        return OperatorOrder(mv=mv, value=value, user=user, reason=reason), ()

    def _misfit(
        self,
        tag: str,
        value: float,
        now: float,
        validated: Validated | None,
        snapshot: Snapshot,
        limits: Limits,
    ) -> str:
        """Why an advised move does not fit into what is allowed now, or nothing."""
        mv = self._mvs.get(tag)
        if mv is None or tag not in self.owned:
            return f"{tag} is not ours to move"
        if validated is None or validated.available.get(tag) is not True:
            return f"{tag} is not available"
        if snapshot.text(mv.src) != PlcMode.LOCAL:
            return f"{tag} is owned by {snapshot.text(mv.src) or 'nobody'}, not by the operator"
        actual = finite_number(snapshot, mv.act)
        if actual is None:
            return f"{mv.act} is unreadable"
        if not math.isfinite(value) or not math.isfinite(now):
            return f"{tag}: the advice is not a number"
        if abs(actual - now) > self.set_point_steps * mv.move:
            return (
                f"{tag} is {actual:.6g} {mv.unit}; the advice was computed from {now:.6g} {mv.unit}"
            )
        bounds = tight_bounds(mv, snapshot, limits.get(tag))
        if isinstance(bounds, str):
            return bounds
        slack = _ROUNDING * (mv.hi - mv.lo)
        if not bounds.lo - slack <= value <= bounds.hi + slack:
            return (
                f"{tag}: {value:.6g} lies outside {bounds.lo:.6g}..{bounds.hi:.6g} {mv.unit}, "
                "which holds now"
            )
        if not -bounds.down - slack <= value - now <= bounds.up + slack:
            return f"{tag}: from {now:.6g} to {value:.6g} {mv.unit} is more than one move"
        return ""


class WriteGate:
    """Sole holder of the writers. What leaves: frames, orders, and our heartbeat with the mode.

    Parameters
    ----------
    writer
        The link's.
    operator
        The way to the PLC's ``OperatorSet``, where it is configured.
    """

    def __init__(self, writer: PlantWriter, operator: OperatorPort | None = None) -> None:
        self._writer, self._operator = writer, operator
        self._used = -1

    async def send(self, command: Command, authority: Authority | None) -> Mapping[str, int]:
        """Write a command's frame in one call.

        Parameters
        ----------
        command
            What `Gate.decide` made.
        authority
            The leave that it was made with; each serves for one frame.

        Returns
        -------
        Status code per tag; empty if nothing was to be written.
        """
        if command.frame is None:
            return {}
        if authority is None or authority.mode is not Mode.CLOSED_LOOP:
            raise GateError("a frame was to be sent without leave of supervision")
        if authority.cycle <= self._used:
            raise GateError(f"the leave to write of cycle {authority.cycle} has been used")
        self._used = authority.cycle
        return await self._writer.write(command.frame.as_writes())

    async def order(self, order: OperatorOrder) -> str:
        """Carry out an order in the operator's name: ``done``, or why not."""
        if self._operator is None:
            return "no operator's session is configured: enter the move at the PLC"
        return await self._operator.operator_set(
            order.mv, order.value, f"{order.user}: {order.reason}"
        )

    async def beat(self, heartbeat: int, mode: Mode) -> Mapping[str, int]:
        """Tell the plant that this cycle is over, and our mode: written in every mode."""
        return await self._writer.write({APC.STATE: str(mode), APC.HB: heartbeat})
