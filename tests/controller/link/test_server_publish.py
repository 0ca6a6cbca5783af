"""The server of a controller as a whole, in one process: events, trouble, the cost of a cycle."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from controller.alarms.definitions import Definition, Priority
from controller.alarms.engine import Alarm, AlarmEvent, AlarmState, Condition, EventKind, State
from controller.alarms.requests import AlarmAction, AlarmRequest
from controller.link.server_events import AlarmEvents
from controller.link.server_fields import SEVERITIES, Said, fields_of, found
from controller.link.server_history import LARGEST_ANSWER
from tests.helpers.controller_site import ControllerSite, controller_site

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("controller-server")]

Run = Callable[[Callable[[ControllerSite], Coroutine[Any, Any, None]]], None]


def _definition(name: str, priority: Priority = Priority.LOW) -> Definition:
    return Definition(
        id=name,
        text=f"{name} is wrong",
        priority=priority,
        cause="a cause",
        consequence="a consequence",
        action="an action",
        respond_within_s=60.0,
    )


DEFINITIONS = {n: _definition(n) for n in ("nir", "solver")}


@pytest.fixture(scope="module")
def on_site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("home")
    with asyncio.Runner() as runner:
        context = controller_site(root, home, DEFINITIONS)
        site = runner.run(context.__aenter__())

        def run(scenario: Callable[[ControllerSite], Coroutine[Any, Any, None]]) -> None:
            runner.run(asyncio.wait_for(scenario(site), 30.0))

        yield run
        runner.run(context.__aexit__(None, None, None))


class Heard:
    """Events of a subscription."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._told = asyncio.Event()

    def event_notification(self, event: Any) -> None:
        self.events.append(event)
        self._told.set()

    async def until(self, number: int) -> list[Any]:
        async with asyncio.timeout(5.0):
            while len(self.events) < number:
                await self._told.wait()
                self._told.clear()
        return self.events


async def _subscribed(client: Client, namespace: int, source: str | int) -> Heard:
    heard = Heard()
    subscription = await client.create_subscription(50, heard)
    kind = client.get_node(ua.NodeId("TwinlineAlarmType", namespace))
    node = source if isinstance(source, int) else ua.NodeId(source, namespace)
    await subscription.subscribe_events(node, kind)
    return heard


@pytest.mark.parametrize("source", [ua.ObjectIds.Server, "Controller", "Controller/Alarms"])
def test_an_alarm_is_told_by_whatever_stands_above_it(on_site: Run, source: str | int) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            namespace = await site.namespace(client)
            heard = await _subscribed(client, namespace, source)
            await site.cycle(conditions={"nir": Condition(True, "no light")})
            (event,) = await heard.until(1)
            assert event.ConditionName == "nir"
            assert event.Message.Text == "nir is wrong: no light"
            assert event.Severity == SEVERITIES[Priority.LOW]
            assert event.Retain is True
            assert (event.Cause, event.OperatorAction) == ("a cause", "an action")
            states = vars(event)
            assert (states["ActiveState/Id"], states["AckedState/Id"]) == (True, False)
            assert event.Time.timestamp() == site.loop.state.time
            await site.cycle(conditions={"nir": Condition(False)})
            await heard.until(2)
            assert vars(heard.events[1])["ActiveState/Id"] is False
            assert heard.events[1].Retain is True  # nobody has acknowledged it
        await _acknowledged(site)

    on_site(scenario)


async def _acknowledged(site: ControllerSite) -> None:
    await site.ask(
        AlarmRequest(
            alarm="nir",
            action=AlarmAction.ACKNOWLEDGE,
            user="ada",
            role="operator",
            reason="seen",
        )
    )


def test_a_burst_is_one_event_per_alarm_and_nothing_is_told_twice(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            heard = await _subscribed(client, await site.namespace(client), "Controller/Alarms")
            number = site.alarms.number
            burst = tuple(
                AlarmEvent(
                    number=number + 1 + i,
                    time=site.loop.state.time,
                    alarm=("nir", "solver")[i % 2],
                    kind=EventKind.RAISED,
                    state=State.UNACKNOWLEDGED,
                    priority=Priority.LOW,
                    text=f"event {i}",
                    value=None,
                    annunciated=True,
                    first_out=False,
                    alert=False,
                )
                for i in range(10_000)
            )
            alarms = {
                name: Alarm(id=name, state=State.UNACKNOWLEDGED, active=True, unacknowledged=True)
                for name in ("nir", "solver")
            }
            site.alarms = AlarmState(alarms=alarms, number=number + 10_000)
            await site._show(site.loop.outputs[-1], burst)
            await site._show(site.loop.outputs[-1], burst)
            await heard.until(2)
            await asyncio.sleep(0.2)
            assert [e.Message.Text for e in heard.events] == ["event 9998", "event 9999"]

    on_site(scenario)


def test_an_alarm_that_was_there_before_the_server_is_told_with_the_first_cycle() -> None:
    alarm = Alarm(id="nir", state=State.ACKNOWLEDGED, since=7.0, active=True, text="no light")
    fields = fields_of(alarm, found(alarm, _definition("nir", Priority.HIGH)))
    assert (fields.message, fields.severity, fields.time) == ("no light", 750, 7.0)
    assert fields.retain and fields.active and fields.acknowledged
    assert found(alarm, None).priority is Priority.LOW


class Taken:
    """Conditions that remember of which alarm they were told, and whether with an event."""

    def __init__(self) -> None:
        self.time = 0.0
        self.taken: list[tuple[str, bool]] = []

    async def take(self, alarm: Alarm, event: AlarmEvent | None = None) -> None:
        self.taken.append((alarm.id, event is not None))

    def hear(self, event: AlarmEvent) -> None:
        raise AssertionError("nothing has happened")


def test_alarms_of_before_are_told_once_and_those_that_are_over_never() -> None:
    told: list[str] = []

    class Listening(AlarmEvents):
        async def _tell(self, alarm: str) -> None:
            told.append(alarm)

    conditions = Taken()
    events = Listening(None, None, conditions, DEFINITIONS)  # type: ignore[arg-type]
    state = AlarmState(
        alarms={
            "nir": Alarm(id="nir", state=State.ACKNOWLEDGED, active=True, since=7.0),
            "solver": Alarm(id="solver"),
        }
    )

    async def twice() -> None:
        await events.send((), state, 8.0)
        await events.send((), state, 13.0)

    asyncio.run(twice())
    assert told == ["nir"]
    assert conditions.taken == [("solver", False), ("nir", True)]
    assert conditions.time == 13.0


def test_the_server_says_what_history_it_has(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            ids = ua.ObjectIds
            for number, value in (
                (ids.HistoryServerCapabilities_AccessHistoryDataCapability, True),
                (ids.HistoryServerCapabilities_AccessHistoryEventsCapability, False),
                (ids.HistoryServerCapabilities_MaxReturnDataValues, LARGEST_ANSWER),
            ):
                assert await client.get_node(ua.NodeId(number)).read_value() == value

    on_site(scenario)


def test_what_goes_wrong_while_showing_is_shown_and_the_next_cycle_goes_on(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        output = site.loop.cycle()
        broken = object.__new__(type(output))
        for name in type(output).__slots__:
            object.__setattr__(broken, name, getattr(output, name))
        object.__setattr__(broken, "permissives", (None,))
        await site.server.publish(broken, "connected")
        async with site.client("observer") as client:
            namespace = await site.namespace(client)

            async def value(path: str) -> Any:
                return await client.get_node(f"ns={namespace};s=Controller/{path}").read_value()

            assert "AttributeError" in await value("Trouble")
            output = await site.cycle()
            assert await value("Cycle") == output.state.cycle
            assert await value("Trouble") == ""

    on_site(scenario)


def test_what_others_show_stays_while_cycles_go_by(on_site: Run) -> None:
    async def scenario(site: ControllerSite) -> None:
        async with site.client("observer") as client:
            await site.server.show({"Standby/Silent": True}, site.loop.state.time)
            changes = Changes()
            node = client.get_node(f"ns={await site.namespace(client)};s=Controller/Standby/Silent")
            subscription = await client.create_subscription(50, changes)
            await subscription.subscribe_data_change(node)
            for _ in range(3):
                await site.cycle()
                await asyncio.sleep(0.06)
            await site.server.show({"Standby/Silent": False}, site.loop.state.time)
            async with asyncio.timeout(5.0):
                await changes.told.wait()
            assert changes.values == [True, False]

    on_site(scenario)


class Changes:
    """Values of a subscription; ``told`` once one is false."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.told = asyncio.Event()

    def datachange_notification(self, _: Any, value: Any, __: Any) -> None:
        self.values.append(value)
        if value is False:
            self.told.set()


def test_an_event_carries_the_whole_state_of_its_alarm() -> None:
    event = AlarmEvent(
        number=1,
        time=5.0,
        alarm="nir",
        kind=EventKind.SHELVED,
        state=State.SHELVED,
        priority=Priority.MEDIUM,
        text="",
        value=None,
        annunciated=False,
        first_out=False,
        alert=False,
        user="ada",
        reason="cleaning",
    )
    alarm = Alarm(id="nir", state=State.SHELVED, active=True, shelved_until=65.0)
    fields = fields_of(alarm, event)
    assert (fields.message, fields.severity) == ("nir", 500)
    assert fields.shelved and fields.active and fields.acknowledged and fields.retain
    assert fields.said == Said(user="ada", text="cleaning", time=5.0)
    assert fields.unshelve_at == 65.0
    assert not fields_of(Alarm(id="nir"), event).retain
