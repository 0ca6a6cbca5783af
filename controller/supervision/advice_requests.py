"""What operators say to an advice: accept, reject, hold, release."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from controller.advice_config import AdviceConfig
from controller.data import Mode, Targets, Validated
from controller.supervision.advice_data import (
    AcceptedAdvice,
    Advice,
    AdviceAction,
    AdviceRequest,
    AdviceState,
    Quiet,
    overtaken_by,
)
from controller.supervision.advice_words import name_of, number
from controller.supervision.requests import Answered
from plant_models.signals import MV, SignalTable

__all__ = ["give_back", "handle_advice_requests"]


def handle_advice_requests(
    state: AdviceState,
    requests: Iterable[AdviceRequest],
    *,
    validated: Validated | None,
    targets: Targets,
    mode: Mode,
    time: float,
    period_s: float,
    table: SignalTable,
    config: AdviceConfig,
    objection: Callable[[str, str, str], str],
) -> tuple[AdviceState, tuple[Answered, ...], tuple[AcceptedAdvice, ...]]:
    """Apply the operators' requests in order, before the plan of this cycle is made.

    Parameters
    ----------
    state
        After the cycle before.
    requests
        What operators ask for.
    validated
        Of this cycle: the set points in use.
    targets
        Set points of the CVs [SI].
    mode
        Mode of this cycle.
    time
        Plant time [s, UTC].
    period_s
        Control period.
    table
        Signal list.
    config
        Settings.
    objection
        Of (user, role, reason): why this person may not, or nothing.

    Returns
    -------
    State, an answer to each request, what was accepted in the order in which it is to be entered.
    """
    answers, accepted = [], []
    for r in requests:
        advice = state.find(r.id)
        refusal = objection(r.user, r.role, r.reason)
        if not refusal and mode is not Mode.ADVISORY:
            refusal = f"there is no advice in {mode}"
        if not refusal and advice is None:
            refusal = f"advice {r.id} is not there any more"
        if not refusal and advice is not None:
            refusal = _refusal(advice, r, time)
            if not refusal and r.action is AdviceAction.ACCEPT:
                refusal = (
                    "the plant's set points are unknown"
                    if validated is None
                    else overtaken_by(advice, validated, targets, period_s, table, config)
                )
        if refusal or advice is None:
            answers.append(Answered(r, False, refusal))
            continue
        state, text = _applied(state, advice, r, time, config)
        answers.append(Answered(r, True, text))
        if r.action is AdviceAction.ACCEPT:
            accepted.append(
                AcceptedAdvice(
                    advice=advice,
                    user=r.user,
                    role=r.role,
                    reason=r.reason,
                    time=time,
                    carry_out=config.accept == "operator_set",
                )
            )
    # In LOCAL a thickness move carries the force set point with it, which is then set outright.
    accepted.sort(key=lambda a: a.advice.mv != MV.THICKNESS)
    return state, tuple(answers), tuple(accepted)


def _refusal(advice: Advice, r: AdviceRequest, time: float) -> str:
    """Why the state of an advice forbids what is asked."""
    held = advice.held_by != "" and time < advice.held_until
    if time < advice.made:
        return f"advice {advice.id} is of another time"
    if time >= advice.expires:
        return f"advice {advice.id} expired {time - advice.expires:.0f} s ago"
    if held and advice.held_by != r.user:
        return f"advice {advice.id} is held by {advice.held_by}"
    if r.action is AdviceAction.ACCEPT and advice.overtaken:
        return f"advice {advice.id} is overtaken: {advice.overtaken}"
    if r.action is AdviceAction.RELEASE and not held:
        return f"nobody holds advice {advice.id}"
    if r.action is AdviceAction.HOLD and advice.hold_ends is not None and time >= advice.hold_ends:
        return f"advice {advice.id} has been held for as long as it may be"
    return ""


def _applied(
    state: AdviceState, advice: Advice, r: AdviceRequest, time: float, config: AdviceConfig
) -> tuple[AdviceState, str]:
    if r.action is AdviceAction.HOLD:
        ends = advice.hold_ends if advice.hold_ends is not None else time + config.hold_max_s
        after = replace(
            advice,
            held_by=r.user,
            held_until=ends,
            hold_ends=ends,
            expires=max(advice.expires, ends),
        )
        return _with(state, advice, after), f"held for {ends - time:.0f} s"
    if r.action is AdviceAction.RELEASE:
        return _with(state, advice, replace(advice, held_by="", expires=advice.lapses)), "released"
    accept = r.action is AdviceAction.ACCEPT
    word = Quiet(
        until=time + (config.accepted_s if accept else config.reject_s),
        action=r.action,
        value=advice.value,
        leads_to=advice.leads_to,
        up=advice.value >= advice.now,
        user=r.user,
        reason=r.reason,
    )
    state = replace(_with(state, advice, None), quiet={**state.quiet, advice.mv: word})
    if not accept:
        return state, f"not advised again for {config.reject_s / 60.0:.0f} min unless it changes"
    move = f"{name_of(advice.mv)} {number(advice.value, advice.unit)}"
    by = "goes to the PLC" if config.accept == "operator_set" else "recorded: enter it at the PLC"
    return state, f"{move} {by}"


def _with(state: AdviceState, advice: Advice, after: Advice | None) -> AdviceState:
    """The state with an advice replaced or removed."""
    current = tuple(
        after if a is advice else a for a in state.current if a is not advice or after is not None
    )
    return replace(state, current=tuple(a for a in current if a is not None))


def give_back(state: AdviceState, accepted: AcceptedAdvice) -> AdviceState:
    """As if an advice had not been accepted: the gate has held it back."""
    advice = accepted.advice
    quiet = {mv: word for mv, word in state.quiet.items() if mv != advice.mv}
    return replace(state, current=(*state.current, advice), quiet=quiet)
