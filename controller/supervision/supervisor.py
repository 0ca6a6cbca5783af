"""Mode logic of one cycle as pure functions: requests, closing, suspension, shedding.

`handle_requests` runs before the algorithm (so that a mode takes effect in its cycle), `decide`
after it, when the permissives of this cycle are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.supervision.modes import (
    Answer,
    By,
    ModeRequest,
    Pending,
    Signature,
    Transition,
    may_change,
)
from controller.supervision.permissives import Name, Permissive, first_lost, missing
from plant_models.signals import LineState

__all__ = ["Decision", "SupervisionState", "debounce_of", "decide", "handle_requests", "objection"]

_IN_SUSPENSION = frozenset(
    {
        Name.LINE_STATE,
        Name.PLC_MODE,
        Name.MEASUREMENTS,
        Name.SET_POINTS,
        Name.ESTIMATOR,
        Name.SOLVER,
        Name.COMMANDS,
    }
)
_LINE = frozenset({Name.LINE_STATE})
_GRANT = frozenset({Name.PLC_MODE})


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionState:
    """Mode with its cause and since when [s, UTC], and what supervision must remember.

    ``closed_cycles`` counts commands since the loop was closed or resumed; ``asked`` is the cycle
    in which control was last requested from the plant.
    """

    mode: Mode = Mode.OFF
    since: float = 0.0
    cause: str = "started"
    pending: Pending | None = None
    signature: Signature | None = None
    suspended_since: float | None = None
    asked: int | None = None
    closed_cycles: int = 0
    permissives: Mapping[Name, Permissive] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What supervision decided: next state, whether to write, what to ask of the plant."""

    state: SupervisionState
    write: bool
    why_not: str = ""
    request_control: str | None = None
    answers: tuple[Answer, ...] = ()
    transitions: tuple[Transition, ...] = ()


def debounce_of(config: SupervisionConfig) -> dict[Name, int]:
    """Debounce per permissive [cycles]."""
    d = config.debounce
    return {
        Name.MEASUREMENTS: d.measurements_cycles,
        Name.SET_POINTS: d.set_points_cycles,
        Name.ESTIMATOR: d.estimator_cycles,
        Name.SOLVER: d.solver_cycles,
        Name.COMMANDS: d.commands_cycles,
    }


def objection(user: str, role: str, reason: str, config: SupervisionConfig) -> str:
    """Why this person may not act, or nothing."""
    if not user:
        return "nobody has asked"
    if role not in config.operator_roles:
        return (
            f"{user} has the role {role or 'none'}, needed is {' or '.join(config.operator_roles)}"
        )
    if len(reason.strip()) < config.reason_min_characters:
        return f"a reason of at least {config.reason_min_characters} characters is needed"
    return ""


def _change(state: SupervisionState, after: Mode, time: float, cause: str) -> SupervisionState:
    return replace(
        state,
        mode=after,
        since=time,
        cause=cause,
        pending=None,
        signature=state.signature if after is Mode.CLOSED_LOOP else None,
        suspended_since=None,
        asked=None,
        closed_cycles=0,
    )


def handle_requests(
    state: SupervisionState,
    requests: Iterable[ModeRequest],
    config: SupervisionConfig,
    *,
    time: float,
    cycle: int,
) -> Decision:
    """Apply operators' requests in order; CLOSED_LOOP only becomes pending here."""
    answers: list[Answer] = []
    transitions: list[Transition] = []
    for r in requests:
        refusal = objection(r.user, r.role, r.reason, config)
        if not refusal and r.mode is state.mode:
            refusal = f"the mode is {state.mode} already"
        if not refusal and not may_change(state.mode, r.mode, By.OPERATOR):
            refusal = f"there is no way from {state.mode} to {r.mode}"
        if refusal:
            answers.append(Answer(request=r, accepted=False, text=refusal))
        elif r.mode is Mode.CLOSED_LOOP:
            state = replace(state, pending=Pending(request=r, since=cycle), asked=None)
        else:
            cause = f"{r.user}: {r.reason}"
            transitions.append(
                Transition(before=state.mode, after=r.mode, by=r.user, reason=r.reason)
            )
            state = _change(state, r.mode, time, cause)
            answers.append(Answer(request=r, accepted=True, text=f"the mode is {r.mode}"))
    return Decision(
        state=state, write=False, answers=tuple(answers), transitions=tuple(transitions)
    )


def decide(
    state: SupervisionState,
    config: SupervisionConfig,
    *,
    structure: str,
    line_state: LineState,
    refusal: str,
    time: float,
    cycle: int,
) -> Decision:
    """Mode after this cycle, from the permissives in ``state``.

    Parameters
    ----------
    state
        State after requests, with this cycle's permissives.
    config
        Times and debounce.
    structure
        PLC mode to ask for.
    line_state
        State of the line in this cycle.
    refusal
        The plant's answer to the last request for control if it was a refusal, else nothing.
    time
        Plant time [s, UTC].
    cycle
        Number of this cycle.
    """
    if state.mode is Mode.CLOSED_LOOP:
        return _in_closed_loop(state, config, structure, line_state, refusal, time, cycle)
    if state.mode is Mode.ADVISORY and state.pending is not None:
        return _closing(state, state.pending, config, structure, refusal, time, cycle)
    return Decision(state=state, write=False, why_not=f"{state.mode} writes nothing")


def _texts(lost: Iterable[Permissive]) -> str:
    return "; ".join(f"{p.name}: {p.text}" for p in lost)


def _closing(
    state: SupervisionState,
    pending: Pending,
    config: SupervisionConfig,
    structure: str,
    refusal: str,
    time: float,
    cycle: int,
) -> Decision:
    """Ask the plant for control, wait for its grant, close the loop."""
    request = pending.request
    lost = _texts(missing(state.permissives, ignore=_GRANT))
    if not lost and refusal:
        lost = f"the plant refused: {refusal}"
    if not lost and state.asked is not None and cycle - state.asked > config.grant_cycles:
        lost = f"no grant within {config.grant_cycles} cycles"
    if lost:
        return Decision(
            state=replace(state, pending=None, asked=None),
            write=False,
            why_not=lost,
            answers=(Answer(request=request, accepted=False, text=lost),),
        )
    if state.permissives[Name.PLC_MODE].good:
        signed = Signature(user=request.user, role=request.role, reason=request.reason)
        closed = _change(
            replace(state, signature=signed),
            Mode.CLOSED_LOOP,
            time,
            f"{request.user}: {request.reason}",
        )
        return Decision(
            state=closed,
            write=True,
            answers=(Answer(request=request, accepted=True, text="the mode is CLOSED_LOOP"),),
            transitions=(
                Transition(
                    before=Mode.ADVISORY,
                    after=Mode.CLOSED_LOOP,
                    by=request.user,
                    reason=request.reason,
                ),
            ),
        )
    if state.asked is None:
        return Decision(
            state=replace(state, asked=cycle),
            write=False,
            why_not="control was requested from the plant",
            request_control=structure,
            answers=(Answer(request=request, accepted=None, text="waiting for the plant's grant"),),
        )
    return Decision(state=state, write=False, why_not="waiting for the plant's grant")


def _shed(state: SupervisionState, time: float, cause: str) -> Decision:
    return Decision(
        state=_change(state, Mode.SHED, time, cause),
        write=False,
        why_not=f"shed: {cause}",
        transitions=(
            Transition(before=state.mode, after=Mode.SHED, by=By.SUPERVISION, reason=cause),
        ),
    )


def _in_closed_loop(
    state: SupervisionState,
    config: SupervisionConfig,
    structure: str,
    line_state: LineState,
    refusal: str,
    time: float,
    cycle: int,
) -> Decision:
    running = line_state is LineState.RUNNING
    if state.suspended_since is None and running:
        lost = first_lost(state.permissives, debounce_of(config), ignore=_LINE)
        if lost is not None:
            return _shed(state, time, _texts((lost,)))
        return Decision(state=state, write=True)
    since = time if state.suspended_since is None else state.suspended_since
    lost = first_lost(state.permissives, debounce_of(config), ignore=_IN_SUSPENSION)
    if lost is not None:
        return _shed(state, time, _texts((lost,)))
    if line_state is LineState.ABORTED:
        return _shed(state, time, "the line was aborted")
    if time - since > config.resume_within_s:
        return _shed(state, time, f"the line did not run for {config.resume_within_s:.0f} s")
    suspended = replace(state, suspended_since=since, closed_cycles=0)
    if not running:
        return Decision(
            state=replace(suspended, asked=None),
            write=False,
            why_not=f"suspended: the line is {line_state}",
        )
    return _resume(suspended, config, structure, refusal, time, cycle)


def _resume(
    state: SupervisionState,
    config: SupervisionConfig,
    structure: str,
    refusal: str,
    time: float,
    cycle: int,
) -> Decision:
    """Back in running: wait for the permissives, take control again, go on bumplessly."""
    lost = missing(state.permissives, ignore=_GRANT)
    if lost:
        return Decision(state=state, write=False, why_not=f"suspended: {_texts(lost)}")
    if state.permissives[Name.PLC_MODE].good:
        resumed = replace(state, suspended_since=None, asked=None)
        return Decision(state=resumed, write=True)
    if refusal:
        return _shed(state, time, f"the plant refused to resume: {refusal}")
    if state.asked is not None and cycle - state.asked > config.grant_cycles:
        return _shed(state, time, f"no grant within {config.grant_cycles} cycles")
    if state.asked is None:
        return Decision(
            state=replace(state, asked=cycle),
            write=False,
            why_not="suspended: control was requested from the plant",
            request_control=structure,
        )
    return Decision(state=state, write=False, why_not="suspended: waiting for the plant's grant")
