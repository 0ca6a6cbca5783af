"""What the library leaves open: each probe gets through on the library as it is, not on the plant.

A probe that fails against the library means that an upgrade has closed the hole upstream.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from plant_models.signals import APC
from tests.hil.hardening_kit import (
    ARRAY,
    METHOD,
    NUMBER,
    READ_ONLY,
    REQUEST,
    TEXT,
    Bench,
    Probe,
    Running,
    plant_bench,
    running,
    stock_bench,
)

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("hardening")]

CODES = ua.StatusCodes


@pytest.fixture(scope="module")
def stock() -> Iterator[Running]:
    with running(stock_bench()) as made:
        yield made


@pytest.fixture(scope="module")
def plant(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(plant_bench(root, tmp_path_factory.mktemp("home"))) as made:
        yield made


class Seen:
    """A subscriber's handler."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.append(value)


async def subscription(client: Client, interval_ms: float = 50.0) -> ua.CreateSubscriptionResult:
    params = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval_ms,
        RequestedLifetimeCount=60,
        RequestedMaxKeepAliveCount=10,
        PublishingEnabled=True,
    )
    return await client.uaclient.session.create_subscription(params, lambda _: None)


async def monitor(
    client: Client, node: ua.NodeId, wanted: Any = None, index_range: str = "", queue: int = 1
) -> ua.MonitoredItemCreateResult:
    """Ask for one monitored item on a subscription of its own."""
    made = await subscription(client)
    item = ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(
            NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange=index_range
        ),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=1, SamplingInterval=0.0, QueueSize=queue, Filter=wanted
        ),
    )
    params = ua.CreateMonitoredItemsParameters(
        SubscriptionId=made.SubscriptionId, ItemsToCreate=[item]
    )
    (result,) = await client.uaclient.session.create_monitored_items(params)
    return result


def band(kind: ua.DeadbandType, width: float) -> ua.DataChangeFilter:
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=kind, DeadbandValue=width
    )


async def survives(bench: Bench, tag: str, *values: Any) -> bool:
    """Whether whoever publishes these values is not thrown out of its way by a subscriber."""
    try:
        for value in values:
            await bench.publish(tag, value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


async def session_tokens(bench: Bench) -> bool:
    """The token of a session cannot be guessed from another one's."""
    async with bench.connect("observer") as one, bench.connect("observer") as two:
        tokens = [c.uaclient.protocol.authentication_token for c in (one, two)]
        kinds = {t.NodeIdType for t in tokens}
        return kinds == {ua.NodeIdType.ByteString} and min(len(t.Identifier) for t in tokens) >= 32


async def identity(bench: Bench) -> bool:
    """A live session stays whose it is."""
    async with bench.connect("observer") as client:
        try:
            await client.activate_session("engineer", bench.password("engineer"))
        except ua.uaerrors.BadIdentityChangeNotSupported:
            return True
        return False


async def deleted_subscription(bench: Bench) -> bool:
    """Nobody ends what another listens to."""
    async with bench.connect("engineer") as victim, bench.connect("observer") as thief:
        made = await subscription(victim)
        (code,) = await thief.uaclient.session.delete_subscriptions([made.SubscriptionId])
        return bool(code.value == CODES.BadSubscriptionIdInvalid)


async def transferred_subscription(bench: Bench) -> bool:
    """Nobody takes what another listens to."""
    async with bench.connect("engineer") as victim, bench.connect("observer") as thief:
        made = await subscription(victim)
        params = ua.TransferSubscriptionsParameters(SubscriptionIds=[made.SubscriptionId])
        (moved,) = await thief.uaclient.session.transfer_subscriptions(params)
        return bool(moved.StatusCode.value == CODES.BadSubscriptionIdInvalid)


async def fed_subscription(bench: Bench) -> bool:
    """Nobody adds items to another's subscription."""
    async with bench.connect("engineer") as victim, bench.connect("observer") as thief:
        made = await subscription(victim)
        params = ua.CreateMonitoredItemsParameters(
            SubscriptionId=made.SubscriptionId, ItemsToCreate=[]
        )
        try:
            await thief.uaclient.session.create_monitored_items(params)
        except ua.uaerrors.BadSubscriptionIdInvalid:
            return True
        return False


async def republish(bench: Bench) -> bool:
    """What is not held is said not to be held, else the client asks for ever."""
    async with bench.connect("observer") as client:
        made = await subscription(client)
        try:
            await client.uaclient.session.republish(made.SubscriptionId, 1_000)
        except ua.uaerrors.BadMessageNotAvailable:
            return True
        return False


async def slow_ramp(bench: Bench) -> bool:
    """Steps of 0.1 get through a deadband of 0.25."""
    async with bench.connect("observer") as client:
        seen = Seen()
        await bench.publish(NUMBER, 5.0)
        made = await client.create_subscription(20, seen)
        node = client.get_node(await bench.node(client, NUMBER))
        wanted = band(ua.DeadbandType.Absolute, 0.25)
        await made._subscribe(node, ua.AttributeIds.Value, wanted, queuesize=50)
        for step in range(1, 13):
            await bench.publish(NUMBER, 5.0 + 0.1 * step)
        await asyncio.sleep(0.3)
        await made.delete()
    return seen.values == pytest.approx([5.0, 5.3, 5.6, 5.9, 6.2])


async def percent_deadband(bench: Bench) -> bool:
    """A filter that the server does not work is not accepted."""
    async with bench.connect("observer") as client:
        node = await bench.node(client, NUMBER)
        made = await monitor(client, node, band(ua.DeadbandType.Percent, 5.0))
        return bool(made.StatusCode.value == CODES.BadMonitoredItemFilterUnsupported)


async def deadband_on_text(bench: Bench) -> bool:
    """A deadband on a text is refused; it would throw in whoever publishes the text."""
    async with bench.connect("observer") as client:
        node = await bench.node(client, TEXT)
        made = await monitor(client, node, band(ua.DeadbandType.Absolute, 1.0))
        lives = await survives(bench, TEXT, "starting", "running")
        return lives and made.StatusCode.value == CODES.BadFilterNotAllowed


async def filter_of_events(bench: Bench) -> bool:
    """A filter for events on a value is refused; it would throw in whoever publishes."""
    async with bench.connect("observer") as client:
        node = await bench.node(client, NUMBER)
        try:
            made = await monitor(client, node, ua.EventFilter())
        except ua.UaError:
            await survives(bench, NUMBER, 7.0)
            return False
        lives = await survives(bench, NUMBER, 8.0, 9.0)
        return lives and made.StatusCode.value == CODES.BadMonitoredItemFilterUnsupported


async def deadband_by_change(bench: Bench) -> bool:
    """What may not be asked for at first may not be asked for later either."""
    async with bench.connect("observer") as client:
        made = await subscription(client)
        node = await bench.node(client, TEXT)
        item = ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(ClientHandle=1, QueueSize=1),
        )
        session = client.uaclient.session
        (created,) = await session.create_monitored_items(
            ua.CreateMonitoredItemsParameters(
                SubscriptionId=made.SubscriptionId, ItemsToCreate=[item]
            )
        )
        parameters = ua.MonitoringParameters(
            ClientHandle=1, QueueSize=1, Filter=band(ua.DeadbandType.Absolute, 1.0)
        )
        change = ua.MonitoredItemModifyRequest(
            MonitoredItemId=created.MonitoredItemId, RequestedParameters=parameters
        )
        (changed,) = await session.modify_monitored_items(
            ua.ModifyMonitoredItemsParameters(
                SubscriptionId=made.SubscriptionId, ItemsToModify=[change]
            )
        )
        lives = await survives(bench, TEXT, "holding", "held")
        return lives and changed.StatusCode.value == CODES.BadFilterNotAllowed


async def impossible_event_field(bench: Bench) -> bool:
    """A field that no event has is the subscriber's loss, not the emitter's."""
    async with bench.connect("observer") as client:
        made = await subscription(client)
        clause = ua.SimpleAttributeOperand(
            TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType),
            BrowsePath=[ua.QualifiedName("data_types", 0)],
            AttributeId=ua.AttributeIds.Value,
        )
        item = ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(
                NodeId=ua.NodeId(ua.ObjectIds.Server), AttributeId=ua.AttributeIds.EventNotifier
            ),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=1, QueueSize=1, Filter=ua.EventFilter(SelectClauses=[clause])
            ),
        )
        (created,) = await client.uaclient.session.create_monitored_items(
            ua.CreateMonitoredItemsParameters(
                SubscriptionId=made.SubscriptionId, ItemsToCreate=[item]
            )
        )
        assert created.StatusCode.is_good()
        emitter = await bench.server.get_event_generator()
        try:
            await emitter.trigger(message="something")
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        return True


async def queue_of_none(bench: Bench) -> bool:
    """Queue size 0 means one value, not thousands."""
    async with bench.connect("observer") as client:
        made = await monitor(client, await bench.node(client, NUMBER), queue=0)
        return bool(made.RevisedQueueSize == 1)


async def part_of_an_array(bench: Bench) -> bool:
    """An index range is refused where it would not be heeded: reading, listening, writing."""
    async with bench.connect("controller") as client:
        node, session = await bench.node(client, ARRAY), client.uaclient.session
        item = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange="0:1")
        (read,) = await session.read(ua.ReadParameters(NodesToRead=[item]))
        heard = await monitor(client, node, index_range="0:1")
        written = await write(client, await bench.node(client, bench.sliced), [1.0, 2.0], "0:1")
        return all(
            code.is_bad() for code in (read.StatusCode, heard.StatusCode, ua.StatusCode(written))
        )


async def write(
    client: Client, node: ua.NodeId, value: Any, index_range: str = "", **more: Any
) -> int:
    data = ua.DataValue(ua.Variant(value, ua.VariantType.Double), **more)
    item = ua.WriteValue(
        NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange=index_range, Value=data
    )
    (code,) = await client.uaclient.session.write(ua.WriteParameters(NodesToWrite=[item]))
    return int(code.value)


async def not_a_number(bench: Bench) -> bool:
    """No number is written but finite ones."""
    async with bench.connect("controller") as client:
        node = await bench.node(client, REQUEST)
        values = (float("nan"), float("inf"), -float("inf"))
        codes = [await write(client, node, v) for v in values]
        return codes == [CODES.BadOutOfRange] * 3


async def bad_written(bench: Bench) -> bool:
    """A client does not say that a value is bad; it writes it or it does not."""
    async with bench.connect("controller") as client:
        node = await bench.node(client, REQUEST)
        code = await write(client, node, 3.0, StatusCode=ua.StatusCode(CODES.Bad))
        return code == CODES.BadWriteNotSupported


async def read_only(bench: Bench) -> bool:
    """What is read-only is so for everybody."""
    async with bench.connect("engineer") as client:
        return await write(client, await bench.node(client, READ_ONLY), 3.0) != CODES.Good


async def deleted_node(bench: Bench) -> bool:
    """Nobody deletes nodes."""
    async with bench.connect("engineer") as client:
        params = ua.DeleteNodesParameters(
            NodesToDelete=[ua.DeleteNodesItem(NodeId=ua.NodeId("Line/None", 2))]
        )
        try:
            await client.uaclient.delete_nodes(params)
        except ua.uaerrors.BadUserAccessDenied:
            return True
        return False


async def arguments(bench: Bench) -> bool:
    """A method runs only with as many arguments as it has, of their types."""
    before = len(bench.calls)
    async with bench.connect("operator") as client:
        method = await bench.node(client, METHOD)
        above = await bench.node(client, METHOD.rpartition("/")[0])
        text, number = ua.Variant("x", ua.VariantType.String), ua.Variant(1, ua.VariantType.Int64)
        for given in ([text], [text, number], [text, text, text]):
            known = above if bench.sliced == REQUEST else await bench.node(client, "Line")
            request = ua.CallMethodRequest(ObjectId=known, MethodId=method, InputArguments=given)
            (result,) = await client.uaclient.session.call([request])
            if result.StatusCode.is_good():
                return False
    return len(bench.calls) == before


async def registered_server(bench: Bench) -> bool:
    """Nobody without a session tells others where servers are."""
    async with bench.stranger() as client:
        server = ua.RegisteredServer(
            ServerUri="urn:elsewhere", ServerNames=[ua.LocalizedText("plant")], IsOnline=True
        )
        try:
            await client.uaclient.register_server(server)
        except ua.uaerrors.BadServiceUnsupported:
            return True
        return False


async def sessions_without_end(bench: Bench) -> bool:
    """A connection has one session, however often it asks."""
    async with bench.connect("observer") as client:
        held = bench.server.iserver._external_sessions
        before = len(held)
        for _ in range(5):
            await client.create_session()
        return len(held) == before


async def busy_publishing(bench: Bench) -> bool:
    """A publishing interval of 0, or of no number, is not granted."""
    async with bench.connect("observer") as client:
        wanted = (0.0, -1.0, float("nan"), 1e-6)
        made = [await subscription(client, interval_ms) for interval_ms in wanted]
        return all(20.0 <= m.RevisedPublishingInterval <= 10_000.0 for m in made)


async def hoarded_subscriptions(bench: Bench) -> bool:
    """One client cannot have all subscriptions of a server."""
    async with bench.connect("observer") as client:
        try:
            for _ in range(40):
                await subscription(client, 1_000.0)
        except ua.uaerrors.BadTooManySubscriptions:
            return True
        return False


async def endless_read(bench: Bench) -> bool:
    """One request does not keep the server busy for long."""
    async with bench.connect("observer") as client:
        node = await bench.node(client, NUMBER)
        item = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
        try:
            await client.uaclient.session.read(ua.ReadParameters(NodesToRead=[item] * 2_001))
        except ua.uaerrors.BadTooManyOperations:
            return True
        return False


async def access_level(bench: Bench) -> bool:
    """The access level that a user reads is that of its role."""
    levels = []
    for user in ("observer", "controller"):
        async with bench.connect(user) as client:
            node = client.get_node(await bench.node(client, REQUEST))
            levels.append(ua.AccessLevel.CurrentWrite in await node.get_user_access_level())
    return levels == [False, True]


PROBES: dict[str, Probe] = {
    probe.__name__: probe
    for probe in (
        session_tokens,
        identity,
        deleted_subscription,
        transferred_subscription,
        fed_subscription,
        republish,
        slow_ramp,
        percent_deadband,
        deadband_on_text,
        filter_of_events,
        deadband_by_change,
        impossible_event_field,
        queue_of_none,
        part_of_an_array,
        not_a_number,
        bad_written,
        read_only,
        deleted_node,
        arguments,
        registered_server,
        sessions_without_end,
        busy_publishing,
        hoarded_subscriptions,
        endless_read,
        access_level,
    )
}


@pytest.mark.parametrize("name", PROBES)
def test_the_plant_withstands(plant: Running, name: str) -> None:
    assert plant.closed(PROBES[name])


@pytest.mark.parametrize("name", PROBES)
def test_the_library_as_it_is_does_not_withstand(stock: Running, name: str) -> None:
    assert not stock.closed(PROBES[name])


def test_a_heartbeat_of_the_wrong_mode_never_reaches_the_plant(plant: Running) -> None:
    """The mode that a controller says it has is one of five; nothing long gets in."""

    async def probe(bench: Bench) -> bool:
        async with bench.connect("controller") as client:
            node = await bench.node(client, APC.STATE)
            codes = []
            for word in ("ADVISORY", "RULING", "A" * 1_000_000):
                item = ua.WriteValue(
                    NodeId=node,
                    AttributeId=ua.AttributeIds.Value,
                    Value=ua.DataValue(ua.Variant(word, ua.VariantType.String)),
                )
                params = ua.WriteParameters(NodesToWrite=[item])
                (code,) = await client.uaclient.session.write(params)
                codes.append(code.value)
            return codes == [CODES.Good, CODES.BadOutOfRange, CODES.BadOutOfRange]

    assert plant.closed(probe)
