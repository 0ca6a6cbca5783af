"""Accepted advice on its way to the PLC: through the gate, with the operator told how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.data import Targets, Validated
from controller.supervision.advice import AcceptedAdvice, AdviceState, give_back, order_reason
from controller.supervision.advice_data import AdviceAction, AdviceRequest
from controller.supervision.gate import Gate, OperatorOrder
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal
from controller.supervision.supervisor import SupervisionState
from controller.supervision_config import SupervisionConfig
from plant_models.signals import Snapshot

__all__ = ["CarryOut", "carry_out", "held_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryOut:
    """An order for the PLC, and the request that is answered when the PLC has spoken."""

    request: AdviceRequest
    order: OperatorOrder


def carry_out(
    accepted: tuple[AcceptedAdvice, ...],
    answers: tuple[Answered, ...],
    gate: Gate,
    config: SupervisionConfig,
    *,
    supervision: SupervisionState,
    targets: Targets,
    validated: Validated | None,
    snapshot: Snapshot,
) -> tuple[tuple[Answered, ...], tuple[CarryOut, ...]]:
    """What of the accepted advice the gate lets out.

    Parameters
    ----------
    accepted, answers
        Of this cycle.
    gate, config
        Rules.
    supervision
        With the permissives of this cycle.
    targets, validated, snapshot
        Of this cycle.

    Returns
    -------
    Answers without those that wait for the PLC, and with a refusal for what the gate holds back;
    the orders.
    """
    requests = _requests(answers)
    orders: list[CarryOut] = []
    refused: dict[int, str] = {}
    for a in accepted:
        if not a.carry_out:
            continue
        order, reasons = gate.order(
            mv=a.advice.mv,
            value=a.advice.value,
            now=a.advice.now,
            made=a.advice.made,
            expires=a.advice.expires,
            computed_from=a.advice.computed_from,
            user=a.user,
            role=a.role,
            reason=order_reason(a),
            objection=lambda user, role, why: refusal(
                Action.ANSWER_ADVICE, user, role, why, config
            ),
            mode=supervision.mode,
            permissives=supervision.permissives,
            targets=targets.set_points,
            validated=validated,
            snapshot=snapshot,
            limits=targets.limits,
        )
        if order is None:
            refused[a.advice.id] = "; ".join(reasons)
        else:
            orders.append(CarryOut(request=requests[a.advice.id], order=order))
    waiting = {id(o.request) for o in orders}
    return tuple(_held_back(a, refused) for a in answers if id(a.request) not in waiting), tuple(
        orders
    )


def held_back(
    state: AdviceState, accepted: tuple[AcceptedAdvice, ...], orders: tuple[CarryOut, ...]
) -> AdviceState:
    """The advice in force, with what the gate has held back in it again."""
    sent = {o.request.id for o in orders}
    for a in accepted:
        if a.carry_out and a.advice.id not in sent:
            state = give_back(state, a)
    return state


def _requests(answers: tuple[Answered, ...]) -> Mapping[int, AdviceRequest]:
    """The requests that accepted an advice, by its id."""
    return {
        a.request.id: a.request
        for a in answers
        if a.accepted
        and isinstance(a.request, AdviceRequest)
        and a.request.action is AdviceAction.ACCEPT
    }


def _held_back(answer: Answered, refused: Mapping[int, str]) -> Answered:
    r = answer.request
    accepts = isinstance(r, AdviceRequest) and r.action is AdviceAction.ACCEPT and answer.accepted
    if accepts and isinstance(r, AdviceRequest) and r.id in refused:
        return Answered(r, False, refused[r.id])
    return answer
