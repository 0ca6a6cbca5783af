"""Somebody has checked an instrument that was lost, and vouches for it: it comes back at once.

Asked for as any other service switch, of the kind ``instrument``; the name is that of the row.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.config import SupervisionConfig
from controller.supervision.ladder import LadderState
from controller.supervision.loss_table import LOSS_LADDER
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal
from controller.supervision.service_data import ServiceRequest

__all__ = ["handle_vouches"]

_NAMES = tuple(row.name for row in LOSS_LADDER)


def handle_vouches(
    state: LadderState, requests: Iterable[object], config: SupervisionConfig
) -> tuple[frozenset[str], tuple[Answered, ...]]:
    """Names of rows that somebody vouches for now, and the answer to each who did.

    Parameters
    ----------
    state
        Of the loss ladder, after the cycle before.
    requests
        Of this cycle; others than service requests of instruments are left alone.
    config
        Roles and the length of a reason.
    """
    names: set[str] = set()
    answers: list[Answered] = []
    for r in requests:
        if not isinstance(r, ServiceRequest) or r.kind != "instrument":
            continue
        problem = refusal(Action.SWITCH_SERVICE, r.user, r.role, r.reason, config)
        problem = problem or _misfit(state, r)
        if not problem:
            names.add(r.name)
        answers.append(Answered(r, not problem, problem or f"{r.name} is believed again"))
    return frozenset(names), tuple(answers)


def _misfit(state: LadderState, r: ServiceRequest) -> str:
    if r.name not in _NAMES:
        return f"{r.name!r} is no instrument of the loss ladder; there are {', '.join(_NAMES)}"
    if not r.on:
        return "an instrument is taken out of service at the instrument: its status says so"
    watch = state.watches.get(r.name)
    if watch is None or watch.since is None:
        return f"{r.name} is not lost"
    return ""
