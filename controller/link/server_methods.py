"""Methods of the controller's OPC UA server: what people ask for, as requests to the controller.

`METHODS` is the whole list. User and role are those of the session. A method is refused three
times over: by the server (who may call, number and types of arguments), here (what cannot be
meant), and by whoever carries the request out, within a cycle. Each answers ``accepted`` and a
sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from controller.alarms.requests import AlarmAction, AlarmRequest
from controller.cycle_data import TargetRequest
from controller.data import CV, Mode
from controller.link.server_values import TARGET_UNITS, lookup
from controller.products.requests import ProductAction, ProductRequest
from controller.supervision.advice_data import AdviceAction, AdviceRequest
from controller.supervision.loss_table import LOSS_LADDER
from controller.supervision.modes import ModeRequest
from controller.supervision.roles import Action
from controller.supervision.service_data import UNITS, LimitRequest, ServiceRequest
from plant_models.signals import SignalTable
from plant_models.units import to_si

__all__ = ["METHODS", "Argument", "Given", "Method", "Misfit", "Who"]

_TEXT, _NUMBER = ua.VariantType.String, ua.VariantType.Double
_WHOLE, _SWITCH = ua.VariantType.Int64, ua.VariantType.Boolean


class Misfit(ValueError):
    """Arguments that cannot be meant, in words for the caller."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a method."""

    name: str
    kind: ua.VariantType
    text: str


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and why."""

    user: str
    role: str
    reason: str


Given = Mapping[str, Any]
Build = Callable[[Who, Given, SignalTable], object]


@dataclass(frozen=True, slots=True)
class Method:
    """One method; whoever may do any of ``actions`` may call it."""

    name: str
    text: str
    arguments: tuple[Argument, ...]
    actions: tuple[Action, ...]
    build: Build


def _mode(who: Who, given: Given, _: SignalTable) -> object:
    wanted = given["mode"]
    if wanted not in Mode.__members__:
        raise Misfit(f"{wanted!r} is no mode; one of {', '.join(Mode)}")
    return ModeRequest(mode=Mode(wanted), user=who.user, role=who.role, reason=who.reason)


def _target(who: Who, given: Given, _: SignalTable) -> object:
    variable = given["variable"]
    if variable not in TARGET_UNITS:
        raise Misfit(f"{variable!r} has no target; one of {', '.join(TARGET_UNITS)}")
    value = to_si(given["value"], TARGET_UNITS[CV(variable)])
    return TargetRequest(
        variable=variable, value=value, user=who.user, role=who.role, reason=who.reason
    )


def _tag(given: Given, table: SignalTable) -> str:
    tags = [m.tag for m in table.manipulated]
    tag = lookup(tags, given["mv"])
    if tag is None:
        raise Misfit(f"{given['mv']!r} is no manipulated variable; one of {', '.join(tags)}")
    return tag


def _limit(who: Who, given: Given, table: SignalTable) -> object:
    tag, lo, hi = _tag(given, table), given["low"], given["high"]
    if not lo <= hi:
        raise Misfit(f"the low limit {lo:g} is not below the high limit {hi:g}")
    return LimitRequest(mv=tag, lo=lo, hi=hi, user=who.user, role=who.role, reason=who.reason)


def _no_limit(who: Who, given: Given, table: SignalTable) -> object:
    return LimitRequest(
        mv=_tag(given, table),
        lo=None,
        hi=None,
        user=who.user,
        role=who.role,
        reason=who.reason,
    )


def _service(who: Who, given: Given, table: SignalTable) -> object:
    kind, name = given["kind"], given["name"]
    known = {
        "mv": [m.tag for m in table.manipulated],
        "cv": [c.value for c in CV],
        "unit": list(UNITS),
        "instrument": [row.name for row in LOSS_LADDER],
    }
    if kind not in known:
        raise Misfit(f"kind is {', '.join(known)}, not {kind!r}")
    found = lookup(known[kind], name)
    if found is None:
        raise Misfit(f"there is no {kind} {name!r}; one of {', '.join(known[kind])}")
    return ServiceRequest(
        kind=kind, name=found, on=given["on"], user=who.user, role=who.role, reason=who.reason
    )


def _advice(action: AdviceAction) -> Build:
    def build(who: Who, given: Given, _: SignalTable) -> object:
        return AdviceRequest(
            id=given["id"], action=action, user=who.user, role=who.role, reason=who.reason
        )

    return build


def _alarm(action: AlarmAction) -> Build:
    def build(who: Who, given: Given, _: SignalTable) -> object:
        minutes = float(given.get("minutes", 0.0))
        if action is AlarmAction.SHELVE and minutes <= 0.0:
            raise Misfit(f"an alarm is shelved for more than 0 minutes, not {minutes:g}")
        return AlarmRequest(
            alarm=given["alarm"],
            action=action,
            minutes=minutes,
            user=who.user,
            role=who.role,
            reason=who.reason,
        )

    return build


def _product(action: ProductAction) -> Build:
    def build(who: Who, given: Given, _: SignalTable) -> object:
        return ProductRequest(
            set_hash=given.get("hash", ""),
            action=action,
            user=who.user,
            role=who.role,
            reason=who.reason,
        )

    return build


_REASON = Argument("reason", _TEXT, "why, for the record")
_MV = Argument("mv", _TEXT, "tag or last part of the tag of a manipulated variable")
_ID = Argument("id", _WHOLE, "number of the advice")
_ALARM = Argument("alarm", _TEXT, "name of the alarm")
_HASH = Argument("hash", _TEXT, "hash of the product set")
_TARGET = (
    Argument("variable", _TEXT, "controlled variable"),
    Argument("value", _NUMBER, "in the unit of Targets/<variable>"),
    _REASON,
)

METHODS: tuple[Method, ...] = (
    Method(
        "RequestMode",
        "Asks for a mode of the controller.",
        (Argument("mode", _TEXT, f"one of {', '.join(Mode)}"), _REASON),
        (Action.CHANGE_MODE, Action.CLOSE_LOOP, Action.SHED),
        _mode,
    ),
    Method(
        "SetTarget",
        "Sets the set point of a controlled variable.",
        _TARGET,
        (Action.SET_TARGET,),
        _target,
    ),
    Method(
        "RequestTarget",
        "The same as SetTarget, under its older name.",
        _TARGET,
        (Action.SET_TARGET,),
        _target,
    ),
    Method(
        "SetLimit",
        "Narrows the range of a manipulated variable.",
        (
            _MV,
            Argument("low", _NUMBER, "in its plant unit"),
            Argument("high", _NUMBER, "in its plant unit"),
            _REASON,
        ),
        (Action.SET_LIMIT,),
        _limit,
    ),
    Method(
        "ClearLimit",
        "Takes the operator's limits of a manipulated variable away.",
        (_MV, _REASON),
        (Action.SET_LIMIT,),
        _no_limit,
    ),
    Method(
        "SetService",
        "Takes a variable or a unit into service or out of it.",
        (
            Argument("kind", _TEXT, "mv, cv, unit or instrument"),
            Argument("name", _TEXT, "tag of the MV, name of the CV or of the unit"),
            Argument("on", _SWITCH, "into service, or out"),
            _REASON,
        ),
        (Action.SWITCH_SERVICE,),
        _service,
    ),
    Method(
        "AcceptAdvice",
        "Accepts an advised move.",
        (_ID, _REASON),
        (Action.ANSWER_ADVICE,),
        _advice(AdviceAction.ACCEPT),
    ),
    Method(
        "RejectAdvice",
        "Rejects an advised move.",
        (_ID, _REASON),
        (Action.ANSWER_ADVICE,),
        _advice(AdviceAction.REJECT),
    ),
    Method(
        "HoldAdvice",
        "Keeps an advised move from expiring for a while.",
        (_ID, _REASON),
        (Action.ANSWER_ADVICE,),
        _advice(AdviceAction.HOLD),
    ),
    Method(
        "ReleaseAdvice",
        "Lets a held advice expire again.",
        (_ID, _REASON),
        (Action.ANSWER_ADVICE,),
        _advice(AdviceAction.RELEASE),
    ),
    Method(
        "Acknowledge",
        "Acknowledges an alarm.",
        (_ALARM, _REASON),
        (Action.ACKNOWLEDGE,),
        _alarm(AlarmAction.ACKNOWLEDGE),
    ),
    Method(
        "Comment",
        "Puts a comment on an alarm on record.",
        (_ALARM, _REASON),
        (Action.ACKNOWLEDGE,),
        _alarm(AlarmAction.COMMENT),
    ),
    Method(
        "Shelve",
        "Shelves an alarm for a time.",
        (_ALARM, Argument("minutes", _NUMBER, "for how long"), _REASON),
        (Action.SHELVE,),
        _alarm(AlarmAction.SHELVE),
    ),
    Method(
        "Unshelve",
        "Ends the shelving of an alarm.",
        (_ALARM, _REASON),
        (Action.SHELVE,),
        _alarm(AlarmAction.UNSHELVE),
    ),
    Method(
        "TakeOutOfService",
        "Takes an alarm out of service until further notice.",
        (_ALARM, _REASON),
        (Action.OUT_OF_SERVICE,),
        _alarm(AlarmAction.OUT_OF_SERVICE),
    ),
    Method(
        "ReturnToService",
        "Puts an alarm back in service.",
        (_ALARM, _REASON),
        (Action.OUT_OF_SERVICE,),
        _alarm(AlarmAction.IN_SERVICE),
    ),
    Method(
        "LoadProduct",
        "Loads the product set with a hash, in OFF or MONITORING.",
        (_HASH, _REASON),
        (Action.LOAD_PRODUCT,),
        _product(ProductAction.LOAD),
    ),
    Method(
        "ShadowModel",
        "Lets a set of the same product run in shadow.",
        (_HASH, _REASON),
        (Action.SHADOW_MODEL,),
        _product(ProductAction.SHADOW),
    ),
    Method(
        "DropShadow",
        "Ends the shadow.",
        (_REASON,),
        (Action.SHADOW_MODEL,),
        _product(ProductAction.DROP),
    ),
    Method(
        "PromoteModel",
        "Puts the set that runs in shadow in force, in OFF or MONITORING.",
        (_HASH, _REASON),
        (Action.PROMOTE_MODEL,),
        _product(ProductAction.PROMOTE),
    ),
)
