"""What operators ask of single variables: in or out of service, narrower limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite

from controller.config import SupervisionConfig
from controller.data import CV, Mode
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal, share_of
from controller.supervision.service_data import (
    UNITS,
    LimitRequest,
    ServiceRequest,
    ServiceState,
    unit_of,
)

__all__ = ["handle_service_requests"]


def handle_service_requests(
    state: ServiceState,
    requests: Iterable[object],
    *,
    owned: tuple[str, ...],
    ranges: Mapping[str, tuple[float, float]],
    mode: Mode,
    config: SupervisionConfig,
) -> tuple[ServiceState, tuple[Answered, ...]]:
    """Apply `ServiceRequest` and `LimitRequest` in order; others, and instruments, are left alone.

    Parameters
    ----------
    state
        After the cycle before.
    requests
        Of this cycle.
    owned
        MVs that the algorithm moves.
    ranges
        Permitted range per MV in its plant unit: the tightest of PLC and product.
    mode
        In CLOSED_LOOP nothing is taken out that the loop needs: it is left first.
    config
        Roles, critical variables, minima.
    """
    answers: list[Answered] = []
    for r in requests:
        if isinstance(r, ServiceRequest) and r.kind != "instrument":
            problem = refusal(Action.SWITCH_SERVICE, r.user, r.role, r.reason, config)
            after, problem = (state, problem) if problem else _switch(state, r, owned)
            if not problem and not r.on and mode is Mode.CLOSED_LOOP:
                problem = _needed(after, owned, config)
            text = f"{r.name} is {'in' if r.on else 'out of'} service"
        elif isinstance(r, LimitRequest):
            problem = refusal(Action.SET_LIMIT, r.user, r.role, r.reason, config)
            problem = problem or _misfit(r, owned, ranges, config)
            after, text = _limit(state, r), _told(r)
        else:
            continue
        if not problem:
            state = after
        answers.append(Answered(r, not problem, problem or text))
    return state, tuple(answers)


def _switch(
    state: ServiceState, r: ServiceRequest, owned: tuple[str, ...]
) -> tuple[ServiceState, str]:
    """The state with the switch turned, or why it cannot be."""
    known: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
        "mv": (owned, state.mv_out),
        "cv": (tuple(c.value for c in CV), state.cv_out),
        "unit": (UNITS, state.units_out),
    }
    if r.kind not in known:
        return state, f"{r.kind!r} is neither mv, cv nor unit"
    names, out = known[r.kind]
    if r.name not in names:
        return state, f"{r.name!r} has no service switch; there are {', '.join(names)}"
    if r.on != (r.name in out):
        return state, f"{r.name} is {'in' if r.on else 'out of'} service already"
    changed = out - {r.name} if r.on else out | {r.name}
    if r.kind == "mv":
        return replace(state, mv_out=changed), ""
    if r.kind == "cv":
        return replace(state, cv_out=changed), ""
    return replace(state, units_out=changed), ""


def _needed(after: ServiceState, owned: tuple[str, ...], config: SupervisionConfig) -> str:
    """Why the loop cannot be held closed with these switches, or nothing."""
    wanted = config.service
    free = [t for t in owned if t not in after.mv_out and unit_of(t) not in after.units_out]
    held = [c.value for c in CV if c.value not in after.cv_out]
    critical = [t for t in config.critical if t in owned and t not in free]
    critical += [c for c in wanted.critical_variables if c not in held]
    if critical:
        return f"{', '.join(critical)}: critical; leave CLOSED_LOOP first"
    if owned and len(free) < min(wanted.minimum_manipulated, len(owned)):
        return f"{wanted.minimum_manipulated} manipulated variables must stay in service"
    if len(held) < wanted.minimum_controlled:
        return f"{wanted.minimum_controlled} controlled variables must stay in service"
    return ""


def _misfit(
    r: LimitRequest,
    owned: tuple[str, ...],
    ranges: Mapping[str, tuple[float, float]],
    config: SupervisionConfig,
) -> str:
    """Why these limits cannot be set, or nothing: within the permitted range, and with room."""
    if r.mv not in owned or r.mv not in ranges:
        return f"{r.mv!r} has no limits to set; there are {', '.join(owned)}"
    if not all(x is None or isfinite(x) for x in (r.lo, r.hi)):
        return f"{r.mv}: a limit must be a number"
    lo, hi = ranges[r.mv]
    share, middle = share_of(r.role, config), 0.5 * (lo + hi)
    if share < 1.0:
        if r.lo is None or r.hi is None:
            return f"{r.mv}: with the role {r.role} both limits are needed"
        lo, hi = middle - share * (middle - lo), middle + share * (hi - middle)
    low, high = lo if r.lo is None else r.lo, hi if r.hi is None else r.hi
    if not (lo <= low <= hi and lo <= high <= hi):
        return f"{r.mv}: limits must lie in {lo:.6g}..{hi:.6g}, not {low:.6g}..{high:.6g}"
    room = 0.01 * config.service.least_room_percent * (hi - lo)
    if high - low < room or not low < high:
        return (
            f"{r.mv}: {low:.6g}..{high:.6g} leaves less room than {room:.6g}; take it out of "
            "service instead"
        )
    return ""


def _limit(state: ServiceState, r: LimitRequest) -> ServiceState:
    limits = {tag: pair for tag, pair in state.limits.items() if tag != r.mv}
    if r.lo is not None or r.hi is not None:
        limits[r.mv] = (r.lo, r.hi)
    return replace(state, limits=limits)


def _told(r: LimitRequest) -> str:
    if r.lo is None and r.hi is None:
        return f"{r.mv} has the permitted range again"
    ends = ["" if x is None else f"{x:.6g}" for x in (r.lo, r.hi)]
    return f"{r.mv} is limited to {ends[0]}..{ends[1]}"
