"""Who may write which tag and call which method of the plant, and which values are refused.

One table for tags, one for methods; what neither names nobody may do. Everybody with a password
may read. A finite request outside its range is not refused here: the PLC clamps it, shows that it
did, and says so to whoever reads ``CLAMPED``. What is no number, or too long to be a word of the
handshake, never reaches the PLC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from plant_models.signals import APC, PLC, Payload, Signal, Writer

__all__ = [
    "CALLS",
    "LONGEST_TEXT",
    "ROLES",
    "STATES",
    "WRITES",
    "Rule",
    "may_call",
    "may_write",
    "value_refused",
]

CONTROLLER, OPERATOR, SUPERVISOR = "controller", "operator", "supervisor"

# Roles that the plant knows; those without a rule read only.
ROLES = (
    CONTROLLER,
    OPERATOR,
    SUPERVISOR,
    "engineer",
    "quality",
    "administrator",
    "observer",
)

# What a controller may say that it is doing.
STATES = frozenset({"OFF", "MONITORING", "ADVISORY", "CLOSED_LOOP", "SHED"})
LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Roles that may write the tags, or call the methods, whose path matches ``paths``."""

    paths: str
    roles: frozenset[str]
    why: str


WRITES = (
    Rule("Line/APC/WATCHDOG_S", frozenset(), "the PLC's own time, shown to the controller"),
    Rule("Line/APC/*", frozenset({CONTROLLER}), "heartbeat, mode and frame of the controller"),
    Rule("Line/*/REQ", frozenset({CONTROLLER}), "requests of a frame"),
)

CALLS = (
    Rule(PLC.REQUEST_CONTROL, frozenset({CONTROLLER}), "the control lease"),
    Rule(PLC.OPERATOR_SET, frozenset({OPERATOR}), "set points in LOCAL"),
    Rule(PLC.SET_LOCAL, frozenset({OPERATOR}), "takes one variable from the controller"),
    Rule(PLC.LINE_COMMAND, frozenset({OPERATOR}), "starts, holds and stops the line"),
    Rule(
        PLC.LOAD_RECIPE,
        frozenset({OPERATOR, SUPERVISOR}),
        "loads a recipe, in LOCAL; other parameters only into an idle line",
    ),
    Rule("Line/Simulator/*", frozenset({OPERATOR}), "where lock-step waits for people"),
)


def _allowed(rules: Iterable[Rule], path: str, role: str) -> bool:
    """By the first rule that matches."""
    for rule in rules:
        if fnmatchcase(path, rule.paths):
            return role in rule.roles
    return False


def may_write(signal: Signal, role: str) -> bool:
    """Whether a user in ``role`` may write a tag that the plant does not own itself."""
    return signal.writer is Writer.CONTROLLER and _allowed(WRITES, signal.tag, role)


def may_call(method: str, role: str) -> bool:
    """Whether a user in ``role`` may call the method at the browse path ``method``."""
    return _allowed(CALLS, method, role)


def value_refused(tag: str, value: Payload) -> str:
    """Why a value of the right type never reaches the PLC; empty if it does."""
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, str):
        if tag == APC.STATE and value not in STATES:
            return "no mode of a controller"
        if len(value) > LONGEST_TEXT:
            return f"longer than {LONGEST_TEXT} characters"
    return ""
