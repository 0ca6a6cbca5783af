"""Who may do what: one table of actions and roles, and the refusal that it leads to.

User and role come from the authenticated session. The settings of a site say which of its roles
operate (`SupervisionConfig.operator_roles`); in the table they stand where the operator stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from controller.config import SupervisionConfig

__all__ = ["PERMISSIONS", "Action", "Role", "allowed", "refusal", "share_of"]


class Role(StrEnum):
    """Roles of people and, last, of the controller itself."""

    OBSERVER = "observer"
    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    ENGINEER = "engineer"
    QUALITY = "quality"
    ADMINISTRATOR = "administrator"
    CONTROLLER = "controller"


class Action(StrEnum):
    """What can be asked of the controller; each is answered and put on record."""

    VIEW = "see everything"
    CHANGE_MODE = "change the mode, CLOSED_LOOP and SHED apart"
    CLOSE_LOOP = "sign CLOSED_LOOP"
    SHED = "shed control"
    SET_TARGET = "change a set point"
    SET_LIMIT = "narrow the limits of a manipulated variable"
    SWITCH_SERVICE = "take a variable or a unit into or out of service"
    ANSWER_ADVICE = "accept, reject or hold advice"
    ACKNOWLEDGE = "acknowledge an alarm"
    SHELVE = "shelve an alarm for a time"
    OUT_OF_SERVICE = "take an alarm out of service"
    LOAD_PRODUCT = "load a product set"
    SHADOW_MODEL = "let a candidate model run in shadow"
    PROMOTE_MODEL = "promote a candidate model"


_OPERATE = frozenset({Role.OPERATOR, Role.SUPERVISOR})
_PEOPLE = frozenset(Role) - {Role.CONTROLLER}

PERMISSIONS: Mapping[Action, frozenset[Role]] = {
    Action.VIEW: _PEOPLE,
    Action.CHANGE_MODE: _OPERATE,
    Action.CLOSE_LOOP: _OPERATE,
    Action.SHED: _OPERATE | {Role.ENGINEER, Role.QUALITY},
    Action.SET_TARGET: _OPERATE,
    Action.SET_LIMIT: _OPERATE | {Role.ENGINEER},
    Action.SWITCH_SERVICE: _OPERATE | {Role.ENGINEER},
    Action.ANSWER_ADVICE: _OPERATE,
    Action.ACKNOWLEDGE: _OPERATE | {Role.ENGINEER},
    Action.SHELVE: _OPERATE,
    Action.OUT_OF_SERVICE: frozenset({Role.SUPERVISOR, Role.ENGINEER}),
    Action.LOAD_PRODUCT: frozenset({Role.SUPERVISOR, Role.QUALITY}),
    Action.SHADOW_MODEL: frozenset({Role.ENGINEER, Role.QUALITY}),
    Action.PROMOTE_MODEL: frozenset({Role.QUALITY}),
}
"""Nobody is in the table as administrator beyond seeing: accounts are not process control."""


def allowed(action: Action, config: SupervisionConfig) -> tuple[str, ...]:
    """Roles that may do ``action`` on this site, those that operate first."""
    table = PERMISSIONS[action]
    if not table >= _OPERATE:
        return tuple(role.value for role in Role if role in table)
    others = [r.value for r in Role if r in table - _OPERATE]
    return (*config.operator_roles, *(r for r in others if r not in config.operator_roles))


def refusal(action: Action, user: str, role: str, reason: str, config: SupervisionConfig) -> str:
    """Why this person may not do this, or nothing.

    Parameters
    ----------
    action
        What is asked for.
    user, role, reason
        Who asks, as authenticated, and why; all are needed.
    config
        Roles that operate, and the length of a reason.
    """
    if not user:
        return "nobody has asked"
    roles = allowed(action, config)
    if role not in roles:
        return f"{user} has the role {role or 'none'}, needed is {' or '.join(roles)}"
    if len(reason.strip()) < config.reason_min_characters:
        return f"a reason of at least {config.reason_min_characters} characters is needed"
    return ""


def share_of(role: str, config: SupervisionConfig) -> float:
    """Part of a permitted range within which ``role`` may set targets and limits, 0..1."""
    return dict(config.service.role_shares).get(role, 1.0)
