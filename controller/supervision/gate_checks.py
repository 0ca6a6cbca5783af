"""What must hold before anything may go out, the move itself apart: each a text, or nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from controller.data import Mode, Plan, Validated
from controller.supervision.authority import Authority
from controller.supervision.permissives import SHEDS_WRITING, Name, Permissive
from plant_models.signals import CommandFrame, PlcMode, Snapshot

__all__ = [
    "NEEDED",
    "lost_for_orders",
    "no_leave",
    "not_local",
    "not_ours",
    "not_read_back",
    "stale_advice",
    "useless",
]

NEEDED = frozenset(
    {
        Name.HEARTBEAT,
        Name.PLC_MODE,
        Name.LINE_STATE,
        Name.PERMIT,
        Name.MEASUREMENTS,
        Name.SOLVER,
        Name.AGREEMENT,
        Name.COMMANDS,
        Name.OPERATOR,
    }
)
"""Permissives that must have been evaluated; others may be absent where they are not built."""

_HELD = SHEDS_WRITING | {Name.LINE_STATE}
_NOT_FOR_ORDERS = frozenset({Name.PLC_MODE, Name.OPERATOR, Name.READINESS})
_SINGLE = 1e-6  # a PLC may keep set points in single precision
_SAME_TARGET = 1e-9  # relative


def no_leave(
    authority: Authority | None, debounce: Mapping[Name, int], cycle: int, snapshot: Snapshot
) -> str:
    """Why supervision's leave does not cover a frame in ``cycle``.

    A permissive that is not safety may be lost for less than its ``debounce`` [cycles].
    """
    if authority is None:
        return "supervision gave no leave to write"
    if authority.cycle != cycle or authority.time != snapshot.time:
        return f"the leave to write is that of cycle {authority.cycle}, this is cycle {cycle}"
    if authority.mode is not Mode.CLOSED_LOOP:
        return f"{authority.mode} writes nothing"
    if authority.suspended:
        return "control is suspended"
    for name in NEEDED:
        if name not in authority.permissives:
            return f"{name}: not evaluated"
    for p in authority.permissives.values():
        lasting = p.safety or p.lost_cycles >= debounce.get(p.name, 0)
        if not p.good and lasting and p.name in _HELD:
            return f"{p.name}: {p.text}"
    return ""


def useless(
    plan: Plan | None,
    age_max_cycles: int,
    period_s: float,
    validated: Validated,
    snapshot: Snapshot,
) -> str:
    """Why the plan is not one for now, made from these data."""
    if plan is None:
        return "no plan"
    if not 0 <= plan.age_cycles <= age_max_cycles:
        return f"the plan is {plan.age_cycles} cycles old"
    age_s = snapshot.time - plan.time
    if not 0.0 <= age_s <= age_max_cycles * period_s:
        return f"the plan is for another time ({age_s:.0f} s ago)"
    if (validated.time, validated.scan_id) != (snapshot.time, snapshot.scan_id):
        return "the data are those of another read"
    return ""


def not_ours(validated: Validated, epoch: int) -> str:
    """Why the plant would not take a frame of ours now."""
    if validated.heartbeat < 0:
        return "the plant's heartbeat is unreadable"
    if validated.lease_epoch != epoch:
        return "the lease is not ours"
    return ""


def not_read_back(sent: CommandFrame | None, snapshot: Snapshot) -> str:
    """A request of ``sent`` that does not read back as written.

    An unreadable one says nothing: the plant refuses or loses it in its own words.
    """
    for tag, written in () if sent is None else sent.requests.items():
        read = snapshot.number(f"{tag}/REQ")
        if read is None or read == written:
            continue
        if not math.isclose(read, written, rel_tol=_SINGLE, abs_tol=_SINGLE):
            return f"{tag}: {written:.6g} was written, {read:.6g} reads back"
    return ""


def stale_advice(
    made: float,
    expires: float,
    computed_from: Mapping[str, float],
    targets: Mapping[str, float],
    snapshot: Snapshot,
) -> str:
    """Why an advice does not hold any more: expired, or computed from other targets."""
    if not made <= snapshot.time < expires:
        return "the advice has expired"
    if not computed_from:
        return "the advice does not say what it was computed from"
    for name in computed_from.keys() | targets.keys():
        then, wanted = computed_from.get(name), targets.get(name)
        if then is None or wanted is None or not abs(wanted - then) <= _SAME_TARGET * abs(then):
            return f"the target of {name} has changed since"
    return ""


def not_local(validated: Validated | None, snapshot: Snapshot) -> str:
    """Why an operator cannot set set points now."""
    if validated is None or validated.time != snapshot.time:
        return "there are no data of this cycle"
    if validated.plc_mode is not PlcMode.LOCAL:
        return f"the PLC is in {validated.plc_mode}: an operator sets set points in LOCAL"
    return ""


def lost_for_orders(permissives: Mapping[Name, Permissive]) -> str:
    """The first permissive that an order needs and does not have: all but those of the modes."""
    for name in NEEDED - _NOT_FOR_ORDERS:
        if name not in permissives:
            return f"{name}: not evaluated"
    for p in permissives.values():
        if not p.good and p.name not in _NOT_FOR_ORDERS:
            return f"{p.name}: {p.text}"
    return ""
