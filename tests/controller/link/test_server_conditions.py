"""Alarms as condition instances with live values, and the standard's methods on them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, Node, ua

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import Condition, State
from controller.alarms.requests import AlarmAction, AlarmRequest
from controller.link.server_conditions import declared
from controller.link.server_standard import COMMENT_HOLDS_S, NOT_FOR_ANYBODY, STANDARD_METHODS
from tests.controller.kit import PERIOD
from tests.helpers.controller_site import ControllerSite, controller_site

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("controller-server")]

Run = Callable[[Callable[[ControllerSite], Coroutine[Any, Any, None]]], None]

TYPES = (
    ua.ObjectIds.BaseEventType,
    ua.ObjectIds.ConditionType,
    ua.ObjectIds.AcknowledgeableConditionType,
    ua.ObjectIds.AlarmConditionType,
)
MANDATORY = ua.NodeId(ua.ObjectIds.ModellingRule_Mandatory)
LOST = {"nir": Condition(True, "no light")}
BACK = {"nir": Condition(False)}

ACKNOWLEDGE = ua.ObjectIds.AcknowledgeableConditionType_Acknowledge
ADD_COMMENT = ua.ObjectIds.ConditionType_AddComment
TIMED = ua.ObjectIds.AlarmConditionType_ShelvingState_TimedShelve
TIMED_2 = ua.ObjectIds.ShelvedStateMachineType_TimedShelve2
UNSHELVE = ua.ObjectIds.AlarmConditionType_ShelvingState_Unshelve
UNSHELVE_2 = ua.ObjectIds.ShelvedStateMachineType_Unshelve2
REMOVE = ua.ObjectIds.AlarmConditionType_RemoveFromService
REMOVE_2 = ua.ObjectIds.AlarmConditionType_RemoveFromService2
PLACE_2 = ua.ObjectIds.AlarmConditionType_PlaceInService2


def _definition(name: str) -> Definition:
    return Definition(
        id=name,
        text=f"{name} is wrong",
        priority=Priority.MEDIUM,
        cause="a cause",
        consequence="a consequence",
        action="an action",
        respond_within_s=60.0,
        off_delay_s=0.0,
    )


DEFINITIONS = {n: _definition(n) for n in ("nir", "solver", "never")}


@pytest.fixture(scope="module")
def on_site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("home")
    with asyncio.Runner() as runner:
        context = controller_site(root, home, DEFINITIONS)
        site = runner.run(context.__aenter__())

        def run(scenario: Callable[[ControllerSite], Coroutine[Any, Any, None]]) -> None:
            runner.run(asyncio.wait_for(_from_rest(site, scenario), 30.0))

        yield run
        runner.run(context.__aexit__(None, None, None))


async def _from_rest(
    site: ControllerSite, scenario: Callable[[ControllerSite], Coroutine[Any, Any, None]]
) -> None:
    """Play a scenario, then bring its alarm to rest for the next."""
    await scenario(site)
    await site.cycle(conditions=BACK)
    for action in (AlarmAction.UNSHELVE, AlarmAction.IN_SERVICE, AlarmAction.ACKNOWLEDGE):
        who = {"user": "sue", "role": "supervisor", "reason": "between tests"}
        await site.ask(AlarmRequest(alarm="nir", action=action, **who))
    assert {a.state for a in site.alarms.alarms.values()} <= {State.NORMAL}
    site.requests.clear()
    site.audited.clear()


class At:
    """A client at one alarm."""

    def __init__(self, client: Client, namespace: int, alarm: str = "nir") -> None:
        self.client, self.path = client, f"ns={namespace};s=Controller/Alarms/{alarm}"

    def node(self, part: str = "") -> Node:
        return self.client.get_node(f"{self.path}/{part}" if part else self.path)

    async def value(self, part: str) -> Any:
        return await self.node(part).read_value()

    async def call(self, method: int, *given: Any, on: str = "") -> str:
        """Status with which a call ends."""
        try:
            await self.node(on).call_method(ua.NodeId(method), *given)
        except ua.UaStatusCodeError as error:
            return str(ua.StatusCode(error.code).name)
        return "Good"


def _text(text: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText)


def _minutes(minutes: float) -> ua.Variant:
    return ua.Variant(minutes * 60_000.0, ua.VariantType.Double)


def _id(event_id: bytes) -> ua.Variant:
    return ua.Variant(event_id, ua.VariantType.ByteString)


async def _paths(node: Node, above: str = "") -> set[str]:
    found = set()
    for child in await node.get_children(ua.ObjectIds.Aggregates):
        name = (await child.read_browse_name()).Name
        found.add(above + name)
        if await child.read_node_class() != ua.NodeClass.Method:
            found |= await _paths(child, f"{above}{name}/")
    return found


async def _mandatory(client: Client, node: ua.NodeId, above: str = "") -> set[str]:
    """Mandatory components that a type declares, as a client sees them."""
    found = set()
    for child in await client.get_node(node).get_children(ua.ObjectIds.Aggregates):
        rules = await child.get_referenced_nodes(ua.ObjectIds.HasModellingRule)
        if [r.nodeid for r in rules] != [MANDATORY]:
            continue
        name = (await child.read_browse_name()).Name
        found.add(above + name)
        if await child.read_node_class() != ua.NodeClass.Method:
            found |= await _mandatory(client, child.nodeid, f"{above}{name}/")
    return found


def test_every_alarm_of_the_list_is_an_instance_with_all_that_its_types_want(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            namespace = await site.namespace(client)
            own = ua.NodeId("TwinlineAlarmType", namespace)
            wanted = await _mandatory(client, own)
            for kind in TYPES:
                wanted |= await _mandatory(client, ua.NodeId(kind))
            shelving = await _mandatory(client, ua.NodeId(ua.ObjectIds.ShelvedStateMachineType))
            wanted |= {f"ShelvingState/{path}" for path in shelving}
            assert {"Priority", "EnabledState/Id", "ShelvingState/UnshelveTime"} <= wanted
            for alarm in DEFINITIONS:
                at = At(client, namespace, alarm)
                assert await at.node().read_type_definition() == own
                assert wanted <= await _paths(at.node())
            source = client.get_node(f"ns={namespace};s=Controller/Alarms")
            conditions = await source.get_referenced_nodes(ua.ObjectIds.HasCondition)
            assert {c.nodeid for c in conditions} == {
                At(client, namespace, alarm).node().nodeid for alarm in DEFINITIONS
            }

    on_site(scenario)


def test_what_never_was_says_so(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            at = At(client, await site.namespace(client), "never")
            assert not await at.value("EventId")
            assert (await at.value("Time")).year == 1601
            assert (await at.value("Message")).Text == "never is wrong"
            assert await at.value("Severity") == 500
            assert await at.value("Cause") == "a cause"
            for part, wanted in (("Retain", False), ("ActiveState/Id", False)):
                assert await at.value(part) is wanted
            assert await at.value("EnabledState/Id") is True
            assert await at.value("MaxTimeShelved") == 480 * 60_000.0

    on_site(scenario)


def test_a_component_is_found_from_above_and_leads_back(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            at = At(client, await site.namespace(client))
            found = await at.node().get_child(["0:ShelvingState", "0:CurrentState", "0:Id"])
            assert found == at.node("ShelvingState/CurrentState/Id")
            assert await found.get_parent() == at.node("ShelvingState/CurrentState")
            assert await at.node("Retain").read_data_type() == ua.NodeId(ua.ObjectIds.Boolean)
            assert await at.node("Retain").get_access_level() == {ua.AccessLevel.CurrentRead}
            kind = await at.node("ActiveState").read_type_definition()
            assert kind == ua.NodeId(ua.ObjectIds.TwoStateVariableType)

    on_site(scenario)


class Changes:
    """Values of a subscription."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._told = asyncio.Event()

    def datachange_notification(self, _: Any, value: Any, __: Any) -> None:
        self.values.append(value)
        self._told.set()

    async def until(self, wanted: list[Any]) -> None:
        async with asyncio.timeout(5.0):
            while self.values != wanted:
                await self._told.wait()
                self._told.clear()


def test_values_follow_the_alarm_and_are_told_once(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            at = At(client, await site.namespace(client))
            changes = Changes()
            subscription = await client.create_subscription(20, changes)
            await subscription.subscribe_data_change(at.node("ActiveState/Id"))
            await changes.until([False])
            await site.cycle(conditions=LOST)
            raised = site.loop.state.time
            await site.cycle(conditions=LOST)
            await changes.until([False, True])
            assert await at.value("AckedState/Id") is False
            assert (await at.value("ActiveState")).Text == "Active"
            assert (await at.value("Message")).Text == "nir is wrong: no light"
            data = await at.node("Retain").read_data_value()
            assert data.Value is not None and data.SourceTimestamp is not None
            assert data.Value.Value is True and data.SourceTimestamp.timestamp() == raised
            await site.cycle(conditions=BACK)
            await changes.until([False, True, False])
            assert await at.value("AlarmState") == State.RETURNED

    on_site(scenario)


def test_an_event_carries_what_its_condition_shows(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        class Heard:
            def event_notification(self, event: Any) -> None:
                heard.put_nowait(event)

        async with site.client("observer") as client:
            namespace = await site.namespace(client)
            at = At(client, namespace)
            subscription = await client.create_subscription(20, Heard())
            kind = client.get_node(ua.NodeId("TwinlineAlarmType", namespace))
            await subscription.subscribe_events(ua.ObjectIds.Server, kind)
            await site.cycle(conditions=LOST)
            async with asyncio.timeout(5.0):
                event = vars(await heard.get())
            fields = {k: v for k, v in event.items() if k in ("EventId", "Time")}
            fields |= {k: v for k, v in event.items() if "/" in k and v is not None}
            assert {"EventId", "Time", "AckedState/Id", "ActiveState/TransitionTime"} <= set(fields)
            for path, value in fields.items():
                assert await at.value(path) == value, path

    on_site(scenario)


def test_an_alarm_is_acknowledged_by_an_event_of_its_present_occurrence(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client:
            at = At(client, await site.namespace(client))
            await site.cycle(conditions=LOST)
            old = _id(await at.value("EventId"))
            await site.cycle(conditions=BACK)
            await site.cycle(conditions=LOST)
            now = _id(await at.value("EventId"))
            said = _text("seen it")
            assert await at.call(ACKNOWLEDGE, old, said) == "BadEventIdUnknown"
            assert await at.call(ACKNOWLEDGE, _id(b"guess"), said) == "BadEventIdUnknown"
            assert await at.call(ACKNOWLEDGE, now, _text("")) == "BadInvalidArgument"
            assert await at.call(ACKNOWLEDGE, now, _text("a\nline")) == "BadInvalidArgument"
            assert await at.value("AckedState/Id") is False
            assert await at.call(ACKNOWLEDGE, now, said) == "Good"
            assert await at.value("AckedState/Id") is True
            assert (await at.value("Comment")).Text == "seen it"
            assert await at.value("ClientUserId") == "operator"
            again = _id(await at.value("EventId"))
            assert await at.call(ACKNOWLEDGE, again, said) == "BadConditionBranchAlreadyAcked"
            done = [r for r in site.requests if isinstance(r, AlarmRequest)]
            assert [(r.alarm, r.user, r.role, r.reason) for r in done] == [
                ("nir", "operator", "operator", ""),
                ("nir", "operator", "operator", "seen it"),
                ("nir", "operator", "operator", "seen it"),
            ]

    on_site(scenario)


def test_every_call_is_audited_with_its_reason_and_answer(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client:
            at = At(client, await site.namespace(client))
            await at.call(TIMED_2, _minutes(10.0), _text("cleaning"))
            await at.call(TIMED_2, _minutes(10.0), _text("cleaning"))
            await at.call(ACKNOWLEDGE, _id(b"guess"), _text("seen it"))
            await at.call(UNSHELVE)
        path = at.node().nodeid.to_string()
        assert site.audited == [
            (
                "operator",
                "Shelve(alarm='nir', minutes=10.0)",
                "cleaning",
                True,
                "nir is shelved for 10 min",
            ),
            (
                "operator",
                f"TimedShelve2 on {path}",
                "cleaning",
                False,
                "BadConditionAlreadyShelved",
            ),
            ("operator", f"Acknowledge on {path}", "seen it", False, "BadEventIdUnknown"),
            ("operator", "Unshelve(alarm='nir')", "cleaning", True, "nir: unshelve"),
        ]

    on_site(scenario)


def test_the_last_comment_stays_until_the_alarm_comes_anew(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client:
            at = At(client, await site.namespace(client))
            await site.cycle(conditions=LOST)
            now = _id(await at.value("EventId"))
            assert await at.call(ADD_COMMENT, now, _text("window fouled")) == "Good"
            assert await at.value("AckedState/Id") is False
            assert await at.call(ADD_COMMENT, _id(b"guess"), _text("no")) == "BadEventIdUnknown"
            await site.cycle(conditions=BACK)
            assert (await at.value("Comment")).Text == "window fouled"
            await site.cycle(conditions=LOST)
            assert ((await at.value("Comment")).Text or "") == ""
            assert (await at.value("ClientUserId") or "") == ""

    on_site(scenario)


def test_an_alarm_is_shelved_for_a_time_with_a_comment(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client:
            at = At(client, await site.namespace(client))
            why = _text("cleaning")
            assert await at.call(UNSHELVE_2, why) == "BadConditionNotShelved"
            for wrong in (0.0, -1.0, 481.0):
                answer = await at.call(TIMED_2, _minutes(wrong), why)
                assert answer == "BadShelvingTimeOutOfRange"
            number = ua.Variant(60_000, ua.VariantType.Int32)
            assert await at.call(TIMED_2, number, why) == "BadInvalidArgument"
            nan = ua.Variant(float("nan"), ua.VariantType.Double)
            assert await at.call(TIMED_2, nan, why) == "BadInvalidArgument"
            assert await at.call(TIMED_2, _minutes(10.0), _text("x")) == "BadInvalidArgument"
            assert await at.call(TIMED_2, _minutes(10.0), why, on="ShelvingState") == "Good"
            assert await at.value("ShelvingState/UnshelveTime") == 600_000.0
            await site.cycle()
            assert await at.value("ShelvingState/UnshelveTime") == (600.0 - PERIOD) * 1000.0
            assert (await at.value("ShelvingState/CurrentState")).Text == "TimedShelved"
            assert await at.value("ShelvingState/CurrentState/Id") == ua.NodeId(
                ua.ObjectIds.ShelvedStateMachineType_TimedShelved
            )
            assert await at.value("SuppressedOrShelved") is True
            assert site.alarms.alarms["nir"].by == "operator: cleaning"
            again = await at.call(TIMED_2, _minutes(10.0), why)
            assert again == "BadConditionAlreadyShelved"
            assert await at.call(UNSHELVE_2, why) == "Good"
            assert await at.value("ShelvingState/UnshelveTime") == 0.0
            assert await at.value("SuppressedOrShelved") is False

    on_site(scenario)


def test_a_method_without_a_comment_takes_what_the_same_user_has_just_said(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client, site.client("supervisor") as other:
            namespace = await site.namespace(client)
            at, others = At(client, namespace), At(other, namespace)
            await site.cycle(conditions=LOST)
            assert await at.call(TIMED, _minutes(10.0)) == "BadInvalidState"
            now = _id(await at.value("EventId"))
            assert await at.call(ADD_COMMENT, now, _text("window fouled")) == "Good"
            assert await others.call(TIMED, _minutes(10.0)) == "BadInvalidState"
            assert await at.call(TIMED, _minutes(10.0)) == "Good"
            assert site.alarms.alarms["nir"].by == "operator: window fouled"
            assert await at.call(UNSHELVE, on="ShelvingState") == "Good"
            for _ in range(int(COMMENT_HOLDS_S / PERIOD) + 1):
                await site.cycle()
            assert await at.call(TIMED, _minutes(10.0)) == "BadInvalidState"
            assert site.alarms.alarms["nir"].shelved_until is None

    on_site(scenario)


def test_an_alarm_goes_out_of_service_and_back(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("engineer") as client:
            at = At(client, await site.namespace(client))
            assert await at.call(REMOVE) == "BadInvalidState"
            assert await at.call(REMOVE_2, _text("probe away")) == "Good"
            assert await at.value("OutOfServiceState/Id") is True
            assert await at.call(REMOVE_2, _text("probe away")) == "BadInvalidState"
            assert await at.call(PLACE_2, _text("probe is back")) == "Good"
            assert await at.value("OutOfServiceState/Id") is False

    on_site(scenario)


def test_what_is_no_condition_has_none_of_its_methods(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("operator") as client:
            namespace = await site.namespace(client)
            for node in (f"ns={namespace};s=Controller", "i=2253", "i=2915"):
                try:
                    await client.get_node(node).call_method(
                        ua.NodeId(ACKNOWLEDGE), _id(b"x"), _text("seen it")
                    )
                except ua.UaStatusCodeError as error:
                    assert ua.StatusCode(error.code).name == "BadMethodInvalid"
                else:
                    raise AssertionError(f"{node} took it")
            assert site.requests == []

    on_site(scenario)


def test_who_may_not_is_refused_before_anything_is_asked(
    on_site: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            at = At(client, await site.namespace(client))
            auditing = client.get_node(ua.NodeId(ua.ObjectIds.Server_Auditing))
            assert await auditing.read_value() is False
            for name, call, _ in STANDARD_METHODS:
                node = client.get_node(ua.NodeId(getattr(ua.ObjectIds, name)))
                (may,) = await node.read_attributes([ua.AttributeIds.UserExecutable])
                assert may.Value is not None and may.Value.Value is (call == "refresh"), name
            given = (_id(b"x"), _text("seen it"))
            assert await at.call(ACKNOWLEDGE, *given) == "BadUserAccessDenied"
            assert any("observer" in m and "may not call i=9111" in m for m in caplog.messages)
            assert await at.call(TIMED_2, _minutes(1.0), given[1]) == "BadUserAccessDenied"
        async with site.client("operator") as client:
            at = At(client, await site.namespace(client))
            assert await at.call(REMOVE_2, _text("probe away")) == "BadUserAccessDenied"
            for name in NOT_FOR_ANYBODY:
                method = getattr(ua.ObjectIds, name)
                assert await at.call(method) == "BadUserAccessDenied", name
                levels = (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable)
                for data in await client.get_node(ua.NodeId(method)).read_attributes(levels):
                    assert data.Value is not None and data.Value.Value is False, name
        assert site.requests == []

    on_site(scenario)


def test_a_type_declares_what_its_instances_have_and_not_what_is_its_own(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        aspace = site.server._server.iserver.aspace
        parts = declared(aspace, ua.NodeId(ua.ObjectIds.AlarmConditionType))
        assert parts["AckedState/Id"].mandatory and not parts["ConfirmedState"].mandatory
        assert parts["ShelvingState/TimedShelve2"].kind is ua.NodeClass.Method
        # The refresh is called on the type, and the states of a machine are those of its type.
        assert not {"ConditionRefresh", "ShelvingState/TimedShelved"} & set(parts)

    on_site(scenario)
