"""From method calls to requests: who asks, what is meant, and what cannot be."""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from controller.alarms.requests import AlarmAction, AlarmRequest
from controller.cycle_data import TargetRequest
from controller.data import Mode
from controller.link.server_desk import MOST_WAITING, Desk, Person
from controller.link.server_methods import METHODS, Method
from controller.link.server_values import TARGET_UNITS
from controller.products.requests import ProductAction, ProductRequest
from controller.supervision.advice_data import AdviceAction, AdviceRequest
from controller.supervision.modes import ModeRequest
from controller.supervision.roles import PERMISSIONS, Action, Role
from controller.supervision.service_data import LimitRequest, ServiceRequest
from plant_models.signals import MV
from tests.controller.kit import TABLE

BY_NAME = {m.name: m for m in METHODS}
WHO = {"user": "ada", "role": "operator", "reason": "a test"}


@dataclass
class Caller:
    session: str = "s"
    user: str = "ada"
    role: str = "operator"


class Heard:
    """Accepts everything and remembers it."""

    def __init__(self) -> None:
        self.requests: list[object] = []
        self.hold: asyncio.Event | None = None

    async def ask(self, request: object) -> tuple[bool, str]:
        self.requests.append(request)
        if self.hold is not None:
            await self.hold.wait()
        return True, "done"


def call(name: str, *values: Any) -> tuple[tuple[bool, str], list[object]]:
    heard = Heard()
    answer = asyncio.run(Desk(heard, Caller, TABLE).call(BY_NAME[name], *values, "a test"))
    return answer, heard.requests


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        ("RequestMode", ("ADVISORY",), ModeRequest(mode=Mode.ADVISORY, **WHO)),
        (
            "SetTarget",
            ("throughput", 36.0),
            TargetRequest(variable="throughput", value=0.01, **WHO),
        ),
        ("RequestTarget", ("potency", 99.0), TargetRequest(variable="potency", value=0.99, **WHO)),
        ("SetLimit", ("Thickness", 3.0, 3.5), LimitRequest(mv=MV.THICKNESS, lo=3.0, hi=3.5, **WHO)),
        ("ClearLimit", (MV.THICKNESS,), LimitRequest(mv=MV.THICKNESS, lo=None, hi=None, **WHO)),
        (
            "SetService",
            ("mv", "Thickness", False),
            ServiceRequest(kind="mv", name=MV.THICKNESS, on=False, **WHO),
        ),
        (
            "SetService",
            ("cv", "potency", True),
            ServiceRequest(kind="cv", name="potency", on=True, **WHO),
        ),
        ("AcceptAdvice", (7,), AdviceRequest(id=7, action=AdviceAction.ACCEPT, **WHO)),
        ("RejectAdvice", (7,), AdviceRequest(id=7, action=AdviceAction.REJECT, **WHO)),
        ("HoldAdvice", (7,), AdviceRequest(id=7, action=AdviceAction.HOLD, **WHO)),
        ("ReleaseAdvice", (7,), AdviceRequest(id=7, action=AdviceAction.RELEASE, **WHO)),
        (
            "Acknowledge",
            ("solver",),
            AlarmRequest(alarm="solver", action=AlarmAction.ACKNOWLEDGE, **WHO),
        ),
        (
            "Shelve",
            ("solver", 30.0),
            AlarmRequest(alarm="solver", action=AlarmAction.SHELVE, minutes=30.0, **WHO),
        ),
        (
            "SetService",
            ("unit", "Press", False),
            ServiceRequest(kind="unit", name="Press", on=False, **WHO),
        ),
        ("LoadProduct", ("ab",), ProductRequest(set_hash="ab", action=ProductAction.LOAD, **WHO)),
        ("DropShadow", (), ProductRequest(set_hash="", action=ProductAction.DROP, **WHO)),
        ("Unshelve", ("solver",), AlarmRequest(alarm="solver", action=AlarmAction.UNSHELVE, **WHO)),
    ],
)
def test_a_call_becomes_a_request_of_the_caller(
    name: str, values: tuple[Any, ...], wanted: object
) -> None:
    assert call(name, *values) == ((True, "done"), [wanted])


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("RequestMode", ("SIDEWAYS",), "is no mode; one of OFF"),
        ("SetTarget", ("moisture", 1.0), "has no target; one of potency"),
        ("SetLimit", ("Thickness", 3.5, 3.0), "the low limit 3.5 is not below the high limit 3"),
        ("SetLimit", ("Thickness", math.nan, 3.0), "the low limit nan is not below"),
        ("SetLimit", ("Depth", 3.0, 3.5), "is no manipulated variable; one of Line/"),
        ("SetService", ("dv", "Thickness", True), "kind is mv, cv, unit, instrument, not 'dv'"),
        ("SetService", ("cv", "Thickness", True), "there is no cv 'Thickness'; one of potency"),
        ("Shelve", ("solver", 0.0), "more than 0 minutes"),
        ("Acknowledge", ("a\nforged line",), "cannot be printed"),
        ("Acknowledge", ("x" * 501,), "at most 500"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    name: str, values: tuple[Any, ...], said: str
) -> None:
    (accepted, text), requests = call(name, *values)
    assert not accepted and said in text and requests == []


def test_the_reason_is_checked_like_any_text() -> None:
    heard = Heard()
    answer = asyncio.run(Desk(heard, Caller, TABLE).call(BY_NAME["RequestMode"], "OFF", "a\rb"))
    assert not answer[0] and "reason holds characters" in answer[1] and heard.requests == []


def test_whoever_keeps_calls_is_told_of_those_that_cannot_be_meant_too() -> None:
    kept: list[tuple[Any, ...]] = []

    def keep(person: Person, *told: Any) -> None:
        kept.append((person.user, person.role, *told))

    desk = Desk(Heard(), Caller, TABLE, keep)
    asyncio.run(desk.call(BY_NAME["RequestMode"], "OFF", "a test"))
    asyncio.run(desk.call(BY_NAME["RequestMode"], "SIDEWAYS", "a test"))
    desk.refused("Acknowledge", "seen", "no such event")
    who = ("ada", "operator")
    assert kept[0] == (*who, "RequestMode(mode='OFF')", "a test", True, "done")
    assert kept[1][:5] == (*who, "RequestMode(mode='SIDEWAYS')", "a test", False)
    assert kept[1][5].startswith("'SIDEWAYS' is no mode")
    assert kept[2] == (*who, "Acknowledge", "seen", False, "no such event")


def test_too_many_waiting_requests_are_turned_away() -> None:
    async def scenario() -> None:
        heard = Heard()
        heard.hold = asyncio.Event()
        desk = Desk(heard, Caller, TABLE)
        waiting = [
            asyncio.create_task(desk.call(BY_NAME["RequestMode"], "OFF", "a test"))
            for _ in range(MOST_WAITING)
        ]
        await asyncio.sleep(0)
        refused = await desk.call(BY_NAME["RequestMode"], "OFF", "a test")
        assert not refused[0] and "ask again" in refused[1]
        heard.hold.set()
        assert {a for a, _ in await asyncio.gather(*waiting)} == {True}
        assert (await desk.call(BY_NAME["RequestMode"], "OFF", "a test"))[0]

    asyncio.run(scenario())


def test_every_method_wants_a_reason_and_somebody_may_call_it() -> None:
    for method in METHODS:
        assert method.arguments[-1].name == "reason"
        assert all(PERMISSIONS[action] for action in method.actions)
    assert len(BY_NAME) == len(METHODS)


def test_no_method_is_for_observers_administrators_or_the_controller() -> None:
    for method in METHODS:
        roles = frozenset[Role]().union(*(PERMISSIONS[a] for a in method.actions))
        assert not roles & {Role.OBSERVER, Role.ADMINISTRATOR, Role.CONTROLLER}


def test_everything_that_can_be_asked_has_a_method() -> None:
    covered = {a for m in METHODS for a in m.actions}
    assert set(Action) - covered <= {Action.VIEW}


_ANY: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    ua.VariantType.String: st.text(max_size=20)
    | st.sampled_from(["mv", "cv", "Thickness", "potency", "OFF", *TARGET_UNITS]),
    ua.VariantType.Double: st.floats(),
    ua.VariantType.Int64: st.integers(-(2**63), 2**63 - 1),
    ua.VariantType.Boolean: st.booleans(),
}


@given(data=st.data(), method=st.sampled_from(METHODS))
def test_whatever_is_given_is_answered(data: st.DataObject, method: Method) -> None:
    """Arguments of the right types never break anything: a request of the caller, or words."""
    heard = Heard()
    given_values = [data.draw(_ANY[a.kind], label=a.name) for a in method.arguments]
    accepted, text = asyncio.run(Desk(heard, Caller, TABLE).call(method, *given_values))
    assert text
    assert len(heard.requests) == accepted
    for request in heard.requests:
        assert (request.user, request.role) == ("ada", "operator")  # type: ignore[attr-defined]
