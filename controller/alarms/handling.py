"""Operators' requests to the alarms: acknowledge, shelve for a time, take out of service."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.alarms.definitions import Definition
from controller.alarms.engine import Alarm, AlarmEvent, AlarmState, changes, settled
from controller.alarms.requests import AlarmAction, AlarmRequest
from controller.config import SupervisionConfig
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal

__all__ = ["handle_alarm_requests"]

_ACTIONS = {str(a): a for a in AlarmAction}
_RIGHTS = {
    AlarmAction.ACKNOWLEDGE: Action.ACKNOWLEDGE,
    AlarmAction.COMMENT: Action.ACKNOWLEDGE,
    AlarmAction.SHELVE: Action.SHELVE,
    AlarmAction.UNSHELVE: Action.SHELVE,
    AlarmAction.OUT_OF_SERVICE: Action.OUT_OF_SERVICE,
    AlarmAction.IN_SERVICE: Action.OUT_OF_SERVICE,
}


def handle_alarm_requests(
    state: AlarmState,
    requests: Iterable[AlarmRequest],
    definitions: Mapping[str, Definition],
    *,
    config: SupervisionConfig,
    time: float,
) -> tuple[AlarmState, tuple[Answered, ...], tuple[AlarmEvent, ...]]:
    """Carry out what operators ask, in order.

    Parameters
    ----------
    state, definitions
        All alarms and their list.
    requests
        What is asked.
    config
        Roles, length of a reason, longest time on the shelf.
    time
        Plant time [s, UTC].
    """
    answers: list[Answered] = []
    events: list[AlarmEvent] = []
    alarms = dict(state.alarms)
    for request in requests:
        definition = definitions.get(request.alarm)
        problem = _unknown(request, definition) or _refused(request, config)
        if not problem and definition is not None:
            old = alarms.get(request.alarm) or Alarm(id=request.alarm)
            new, problem = _apply(old, request, definition, time, config.alarms.shelve_max_minutes)
            if not problem:
                new = settled(old, new, definition, time)
                number = state.number + len(events)
                who = {"user": request.user, "reason": request.reason}
                events += changes(old, new, definition, time, number, **who)
                alarms[request.alarm] = new
        answers.append(Answered(request, not problem, problem or _done(request)))
    if not events:
        return state, tuple(answers), ()
    after = replace(state, alarms=alarms, number=state.number + len(events))
    return after, tuple(answers), tuple(events)


def _unknown(request: AlarmRequest, definition: Definition | None) -> str:
    if definition is None:
        return f"there is no alarm {request.alarm!r}; the alarm list has the names"
    if request.action not in _ACTIONS:
        return f"{request.action!r} is no action; there are {', '.join(_ACTIONS)}"
    return ""


def _refused(request: AlarmRequest, config: SupervisionConfig) -> str:
    right = _RIGHTS[_ACTIONS[request.action]]
    return refusal(right, request.user, request.role, request.reason, config)


def _apply(
    old: Alarm, request: AlarmRequest, definition: Definition, time: float, longest: float
) -> tuple[Alarm, str]:
    """The alarm after the request, or why not."""
    by = f"{request.user}: {request.reason}"
    match _ACTIONS[request.action]:
        case AlarmAction.ACKNOWLEDGE:
            if not old.unacknowledged:
                return old, "there is nothing to acknowledge"
            return replace(old, unacknowledged=False), ""
        case AlarmAction.COMMENT:
            return old, ""
        case AlarmAction.SHELVE:
            if definition.alert:
                return old, "an alert calls nobody, so there is nothing to shelve"
            if old.out_of_service:
                return old, "it is out of service"
            if not (math.isfinite(request.minutes) and 0.0 < request.minutes <= longest):
                return old, f"shelve for more than 0 and up to {longest:g} min"
            return replace(old, shelved_until=time + 60.0 * request.minutes, by=by), ""
        case AlarmAction.UNSHELVE:
            if old.shelved_until is None:
                return old, "it is not shelved"
            return replace(old, shelved_until=None, by=""), ""
        case AlarmAction.OUT_OF_SERVICE:
            if old.out_of_service:
                return old, "it is out of service already"
            return replace(old, out_of_service=True, shelved_until=None, by=by), ""
        case AlarmAction.IN_SERVICE:
            if not old.out_of_service:
                return old, "it is in service already"
            return replace(old, out_of_service=False, by=""), ""


def _done(request: AlarmRequest) -> str:
    if request.action == AlarmAction.SHELVE:
        return f"{request.alarm} is shelved for {request.minutes:g} min"
    return f"{request.alarm}: {request.action.replace('_', ' ')}"
