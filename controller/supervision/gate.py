"""The write gate: decides whether a plan goes out, and is the only holder of the link's writer.

`decide` is pure: plan and validated data in, `Command` out. `WriteGate` carries a command to the
plant. Nobody else builds a `CommandFrame` and nobody else calls the writer; tests hold us to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.data import Command, Mode, Plan, Validated
from controller.supervision.bumpless import Bounds, limited_move
from plant_models.signals import APC, CommandFrame, MvSpec, SignalTable, Snapshot

__all__ = ["Gate", "PlantWriter", "WriteGate", "withhold"]

Scalar = float | int | bool | str


class PlantWriter(Protocol):
    """What the link offers for writing: one batched call, status code per tag."""

    async def write(self, writes: Mapping[str, Scalar]) -> Mapping[str, int]:
        """Write all tags in one service call; raises on time-out or a lost connection."""
        ...


def withhold(*reasons: str) -> Command:
    """A command that writes nothing, with its reasons."""
    return Command(frame=None, reasons=reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Rules of one controller: what it may move, how fast and with how old a plan.

    ``owned`` are the MVs that the algorithm moves in the structure asked for; a frame carries all
    MVs, the others at the set point in use.
    """

    table: SignalTable
    owned: frozenset[str]
    period_s: float
    plan_age_max_cycles: int

    def decide(
        self,
        plan: Plan | None,
        validated: Validated,
        snapshot: Snapshot,
        *,
        epoch: int,
        sequence: int,
        share: float,
        divert: bool = False,
    ) -> Command:
        """The frame for this cycle, or none and why.

        Parameters
        ----------
        plan
            Plan of this cycle; None withholds.
        validated, snapshot
            Data that the plan was made from.
        epoch
            Our lease.
        sequence
            Number of the last frame sent; this one is larger, also than the scan counter, so that
            it grows across restarts of the controller.
        share
            Part of the rate that may be used (bumpless start).
        divert
            Ask the plant to divert.
        """
        refusal = self._refusal(plan, validated, epoch)
        if plan is None or refusal:
            return withhold(refusal or "no plan")
        planned = plan.first()
        requests: dict[str, float] = {}
        reasons: list[str] = []
        for spec in self.table.manipulated:
            actual = snapshot.number(f"{spec.tag}/ACT")
            if actual is None or not math.isfinite(actual):
                return withhold(f"{spec.tag}/ACT is unreadable")
            requests[spec.tag] = actual
            if spec.tag not in self.owned or spec.tag not in planned:
                continue
            if not validated.available[spec.tag]:
                reasons.append(f"{spec.tag} tracks: not available")
                continue
            wanted = self.table[f"{spec.tag}/ACT"].from_si(planned[spec.tag])
            if not math.isfinite(wanted):
                return withhold(f"{spec.tag}: the plan is not a number")
            move = limited_move(wanted, actual, self._bounds(spec, snapshot), share)
            requests[spec.tag] = move.value
            if move.limited_by:
                reasons.append(
                    f"{spec.tag}: {wanted:.6g} limited to {move.value:.6g} {spec.unit} by "
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

    def _refusal(self, plan: Plan | None, validated: Validated, epoch: int) -> str:
        if plan is None:
            return "no plan"
        if plan.age_cycles > self.plan_age_max_cycles:
            return f"the plan is {plan.age_cycles} cycles old"
        age_s = validated.time - plan.time
        if not 0.0 <= age_s <= self.plan_age_max_cycles * self.period_s:
            return f"the plan is for another time ({age_s:.0f} s ago)"
        if validated.heartbeat < 0:
            return "the plant's heartbeat is unreadable"
        if validated.lease_epoch != epoch:
            return "the lease is not ours"
        return ""

    def _bounds(self, spec: MvSpec, snapshot: Snapshot) -> Bounds:
        """Tightest of our limits and the PLC's."""
        rate = spec.rate * self.period_s
        return Bounds(
            lo=max(spec.lo, _or(snapshot, f"{spec.tag}/LO", spec.lo)),
            hi=min(spec.hi, _or(snapshot, f"{spec.tag}/HI", spec.hi)),
            up=min(rate, abs(_or(snapshot, f"{spec.tag}/RATE_UP", rate))),
            down=min(rate, abs(_or(snapshot, f"{spec.tag}/RATE_DN", rate))),
        )


def _or(snapshot: Snapshot, tag: str, default: float) -> float:
    value = snapshot.number(tag)
    return default if value is None or not math.isfinite(value) else value


class WriteGate:
    """Sole holder of the writer. Two things leave: command frames and our heartbeat with mode."""

    def __init__(self, writer: PlantWriter) -> None:
        self._writer = writer

    async def send(self, command: Command, mode: Mode) -> Mapping[str, int]:
        """Write a command's frame in one call.

        Parameters
        ----------
        command
            What `Gate.decide` made.
        mode
            Mode of the controller after this cycle; outside CLOSED_LOOP nothing is written.

        Returns
        -------
        Status code per tag; empty if nothing was to be written.
        """
        if command.frame is None or mode is not Mode.CLOSED_LOOP:
            return {}
        return await self._writer.write(command.frame.as_writes())

    async def beat(self, heartbeat: int, mode: Mode) -> Mapping[str, int]:
        """Tell the plant that this cycle is over, and our mode: written in every mode."""
        return await self._writer.write({APC.STATE: str(mode), APC.HB: heartbeat})
