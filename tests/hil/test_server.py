"""The plant's server: who gets in, who may do what, and how Write calls reach the plant."""

import asyncio
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.uacrypto import load_certificate

from controller.link.client import LinkError, LinkRefused
from hil.clock import Pace, parse_speed
from plant_models.signals import APC, GOOD, MV, PLC, CommandFrame, Value
from tests.helpers.site import Run, SharedSite, Site, running_site, without_certificate
from tools.pki import ensure_pki
from tools.security import read_password

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("opcua-server")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def on_site(root: Path, home: Path) -> Iterator[Run]:
    shared = SharedSite(root, home)
    yield shared.run
    shared.close()


def test_the_keys_of_a_fresh_home_are_private(tmp_path: Path) -> None:
    ensure_pki(tmp_path)
    found = list((tmp_path / "pki").rglob("*"))
    assert {stat.S_IMODE(p.stat().st_mode) for p in found if p.is_file()} == {0o600}
    own = [p for p in found if p.name in ("own", "trusted", "rejected")]
    assert (len(own), {stat.S_IMODE(p.stat().st_mode) for p in own}) == (9, {0o700})
    before = {p: p.read_bytes() for p in found if p.is_file()}
    ensure_pki(tmp_path)
    assert {p: p.read_bytes() for p in before} == before


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "operator.password"
    file.write_text("secret")
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="0600"):
        read_password(file)


def test_strangers_are_refused(on_site: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        good = site.credentials()
        with pytest.raises(LinkRefused):
            await site.link(replace(good, password="wrong password")).connect()
        with pytest.raises(LinkRefused):
            await site.link(replace(good, user="nobody")).connect()
        stranger = ensure_pki(tmp_path)["controller"]
        unknown = replace(good, certificate=stranger.certificate, private_key=stranger.private_key)
        with pytest.raises(LinkRefused):
            await site.link(unknown).connect()
        rejected = list((site.parties["plant"].folder / "rejected").iterdir())
        assert [f.read_bytes() for f in rejected] == [stranger.certificate.read_bytes()]
        with pytest.raises(LinkError):
            await site.link(without_certificate(good)).connect()
        assert site.plant.batches == []
        link = site.link(good)
        await link.connect()
        await link.drop()

    on_site(scenario)


def test_an_anonymous_client_is_refused(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        anonymous = replace(site.credentials(), user="", password="")
        with pytest.raises(LinkError):
            await site.link(anonymous).connect()
        client = Client(site.endpoint)
        client.application_uri = site.parties["controller"].uri
        with pytest.raises(ua.UaError):
            await client.connect()

    on_site(scenario)


def test_no_session_on_a_channel_without_security(
    on_site: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with the right password and a trusted certificate in the request."""
    first = staticmethod(lambda endpoints, mode, uri: next(iter(endpoints)))

    async def attempt(site: Site, certificate: bool) -> None:
        client, who = Client(site.endpoint, timeout=3), site.credentials()
        client.application_uri = who.application_uri
        if certificate and who.certificate is not None:
            client.user_certificate = await load_certificate(who.certificate)
        await client.connect_socket()
        try:
            await client.send_hello()
            await client.open_secure_channel()
            await client.create_session()
            client._policy_ids = [
                ua.UserTokenPolicy(PolicyId="username", TokenType=ua.UserTokenType.UserName)
            ]
            client.user_certificate = None
            await client.activate_session(who.user, who.password)
        finally:
            client.disconnect_socket()

    async def scenario(site: Site) -> None:
        with pytest.raises(ua.UaError):
            await Client(site.endpoint).connect()
        monkeypatch.setattr(Client, "find_endpoint", first)
        for certificate in (False, True):
            with pytest.raises(ua.uaerrors.BadSecurityChecksFailed):
                await attempt(site, certificate)

    on_site(scenario)


def test_an_unencrypted_endpoint_needs_an_explicit_setting_and_says_so(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running_site(root, tmp_path, allow_unencrypted=True) as site:
            link = site.link(without_certificate(site.credentials()))
            await link.connect()
            assert (await link.read()).scan_id == 0
            await link.drop()
            wrong = replace(site.credentials(), password="wrong")
            with pytest.raises(LinkError):
                await site.link(without_certificate(wrong)).connect()

    asyncio.run(scenario())
    said = [r.getMessage() for r in caplog.records if r.name.startswith(("hil", "controller"))]
    assert any("endpoint without security" in text for text in said)
    assert any("channel" in text and "not secured" in text for text in said)


def test_the_client_refuses_a_server_that_is_not_the_pinned_one(
    on_site: Run, tmp_path: Path
) -> None:
    async def scenario(site: Site) -> None:
        other = ensure_pki(tmp_path)["plant"].certificate
        with pytest.raises(LinkError):
            await site.link(replace(site.credentials(), server_certificate=other)).connect()

    on_site(scenario)


def test_every_tag_is_a_node_with_its_unit_and_range(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with site.client("observer") as client:
            index = await client.get_namespace_index("urn:twinline:plant")
            signals = list(site.plant.table)
            nodes = [ua.NodeId(s.tag, index) for s in signals]
            data = await client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
            types = await client.uaclient.read_attributes(nodes, ua.AttributeIds.DataType)
            for signal, value, kind in zip(signals, data, types, strict=True):
                assert value.StatusCode.is_good(), signal.tag
                assert value.SourceTimestamp is not None
                name = signal.data_type.value.removesuffix("[]")
                assert kind.Value.Value == ua.NodeId(ua.VariantType[name].value), signal.tag
            path = ["Line", "Feeder1", "MassFlow", "PV", "0:EngineeringUnits"]
            node = await client.nodes.objects.get_child(
                [p if ":" in p else f"{index}:{p}" for p in path]
            )
            unit = await node.read_value()
            assert (unit.DisplayName.Text, unit.UnitId) == ("kg/h", 0x453933)

    on_site(scenario)


def test_a_write_call_reaches_the_plant_as_one_batch_in_its_order(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        frame = CommandFrame(
            sequence=7, requests={MV.THICKNESS: 3.0, MV.TOTAL_FEED: 20.0}, echo=3, epoch=11
        ).as_writes()
        codes = await link.write(frame)
        assert codes == dict.fromkeys(frame, GOOD)
        (batch,) = site.plant.batches
        assert list(batch[1].items()) == list(frame.items())
        assert (await link.read()).values[APC.EPOCH].value == 11
        await link.drop()

    on_site(scenario)


def test_the_plant_sees_nothing_of_a_call_with_a_wrong_item(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with site.client("controller") as client:
            index = await client.get_namespace_index("urn:twinline:plant")
            codes = ua.StatusCodes

            async def write(tag: str, value: ua.Variant, **more: Any) -> list[int]:
                good = ua.WriteValue(
                    NodeId=ua.NodeId(APC.SEQ_HEAD, index),
                    AttributeId=ua.AttributeIds.Value,
                    Value=ua.DataValue(ua.Variant(1, ua.VariantType.Int64)),
                )
                item = ua.WriteValue(
                    NodeId=ua.NodeId(tag, index),
                    AttributeId=more.pop("attribute", ua.AttributeIds.Value),
                    Value=ua.DataValue(value, **more),
                )
                params = ua.WriteParameters(NodesToWrite=[good, item])
                return [s.value for s in await client.uaclient.session.write(params)]

            number, spoilt = ua.VariantType.Double, codes.BadInvalidState
            request = f"{MV.THICKNESS}/REQ"
            cases = [
                (await write("Line/None", ua.Variant(1.0, number)), codes.BadNodeIdUnknown),
                (await write(f"{MV.THICKNESS}/ACT", ua.Variant(1.0, number)), codes.BadNotWritable),
                (await write(request, ua.Variant(1, ua.VariantType.Int64)), codes.BadTypeMismatch),
                (await write(request, ua.Variant(float("nan"), number)), codes.BadOutOfRange),
                (await write(request, ua.Variant([1.0], number)), codes.BadTypeMismatch),
                (
                    await write(
                        request, ua.Variant(1.0, number), StatusCode=ua.StatusCode(codes.Bad)
                    ),
                    codes.BadWriteNotSupported,
                ),
                (
                    await write(
                        request,
                        ua.Variant("x", ua.VariantType.String),
                        attribute=ua.AttributeIds.DisplayName,
                    ),
                    codes.BadWriteNotSupported,
                ),
                (
                    await write(APC.SEQ_HEAD, ua.Variant(1, ua.VariantType.Int64)),
                    codes.BadInvalidArgument,
                ),
            ]
            assert [c for c, _ in cases] == [[spoilt, wanted] for _, wanted in cases]
        assert site.plant.batches == []

    on_site(scenario)


@pytest.mark.parametrize("user", ["observer", "operator", "engineer", "supervisor"])
def test_only_the_controller_writes(on_site: Run, user: str) -> None:
    async def scenario(site: Site) -> None:
        link = site.link(site.credentials(user, "operator"))
        await link.connect()
        codes = await link.write({APC.HB: 5})
        assert codes == {APC.HB: ua.StatusCodes.BadUserAccessDenied}
        assert site.plant.batches == []
        await link.drop()

    on_site(scenario)


def test_methods_know_their_caller_and_check_role_and_arguments(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        text, codes = ua.VariantType.String, ua.StatusCodes

        async def call(client: Client, method: str, *arguments: ua.Variant) -> Any:
            index = await client.get_namespace_index("urn:twinline:plant")
            request = ua.CallMethodRequest(
                ObjectId=ua.NodeId("Line/PLC", index),
                MethodId=ua.NodeId(method, index),
                InputArguments=list(arguments),
            )
            (result,) = await client.uaclient.session.call([request])
            return result

        start, why = ua.Variant("start", text), ua.Variant("shift begins", text)
        async with site.client("operator") as operator:
            done = await call(operator, PLC.LINE_COMMAND, start, why)
            assert done.OutputArguments[0].Value == "done"
            assert site.plant.calls == [("line_command", "operator", "start", "shift begins")]
            few = await call(operator, PLC.LINE_COMMAND, start)
            assert few.StatusCode.value == codes.BadArgumentsMissing
            many = await call(operator, PLC.LINE_COMMAND, start, why, why)
            assert many.StatusCode.value == codes.BadTooManyArguments
            mistyped = await call(operator, PLC.LINE_COMMAND, ua.Variant(1), why)
            assert mistyped.StatusCode.value == codes.BadInvalidArgument
            assert mistyped.InputArgumentResults[0].value == codes.BadTypeMismatch
            number = ua.Variant(float("inf"), ua.VariantType.Double)
            wild = await call(operator, PLC.OPERATOR_SET, ua.Variant("mv", text), number, why)
            assert wild.InputArgumentResults[1].value == codes.BadOutOfRange
            lease = ua.Variant(1, ua.VariantType.Int64)
            control = await call(operator, PLC.REQUEST_CONTROL, start, lease, why)
            assert control.StatusCode.value == codes.BadUserAccessDenied
        async with site.client("observer") as observer:
            refused = await call(observer, PLC.LINE_COMMAND, start, why)
            assert refused.StatusCode.value == codes.BadUserAccessDenied
        assert len(site.plant.calls) == 1
        link = site.link()
        await link.connect()
        assert await link.request_control("CASCADE", 2**40, "test") == "granted"
        assert site.plant.calls[1][2:] == ("controller", "CASCADE", 2**40, "test")
        await link.drop()

    on_site(scenario)


def test_subscriptions_belong_to_their_session(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with site.client("engineer") as victim, site.client("observer") as thief:
            params = ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=100.0,
                RequestedLifetimeCount=60,
                RequestedMaxKeepAliveCount=10,
                PublishingEnabled=True,
            )
            subscription = await victim.uaclient.session.create_subscription(params, lambda _: None)
            number = subscription.SubscriptionId
            session = thief.uaclient.session
            (status,) = await session.delete_subscriptions([number])
            assert status.value == ua.StatusCodes.BadSubscriptionIdInvalid
            (moved,) = await session.transfer_subscriptions(
                ua.TransferSubscriptionsParameters(SubscriptionIds=[number])
            )
            assert moved.StatusCode.value == ua.StatusCodes.BadSubscriptionIdInvalid
            with pytest.raises(ua.uaerrors.BadMessageNotAvailable):
                await victim.uaclient.session.republish(number, 1_000)
            (mine,) = await victim.uaclient.session.delete_subscriptions([number])
            assert mine.is_good()

    on_site(scenario)


class _Seen:
    def __init__(self) -> None:
        self.values: list[float] = []

    def datachange_notification(self, node: Any, value: float, data: Any) -> None:
        self.values.append(value)


def test_a_slow_ramp_gets_through_a_deadband(on_site: Run) -> None:
    """Steps of 0.1 through a band of 0.25: reported at every third step."""

    async def scenario(site: Site) -> None:
        tag = "Line/Blender/Torque/PV"
        async with site.client("observer") as client:
            index = await client.get_namespace_index("urn:twinline:plant")
            seen = _Seen()
            site.plant.written[tag] = 5.0
            await site.server._publish()
            subscription = await client.create_subscription(20, seen)
            band = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue,
                DeadbandType=ua.DeadbandType.Absolute,
                DeadbandValue=0.25,
            )
            node = client.get_node(ua.NodeId(tag, index))
            await subscription._subscribe(node, ua.AttributeIds.Value, band, queuesize=50)
            for step in range(1, 13):
                site.plant.written[tag] = 5.0 + 0.1 * step
                site.plant.advance(1)
                await site.server._publish()
            await asyncio.sleep(0.5)
            await subscription.delete()
        assert seen.values == pytest.approx([5.0, 5.3, 5.6, 5.9, 6.2])

    on_site(scenario)


def test_nobody_edits_the_address_space(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with site.client("engineer") as client:
            index = await client.get_namespace_index("urn:twinline:plant")
            node = client.get_node(ua.NodeId(PLC.HB, index))
            with pytest.raises(ua.UaError):
                await client.delete_nodes([node])
            assert await node.read_value() == site.plant.seconds

    on_site(scenario)


def test_an_index_range_is_refused(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with site.client("observer") as client:
            index = await client.get_namespace_index("urn:twinline:plant")
            item = ua.ReadValueId(
                NodeId=ua.NodeId("Line/Lab/Sample/WEIGHT", index),
                AttributeId=ua.AttributeIds.Value,
                IndexRange="0:1",
            )
            (data,) = await client.uaclient.session.read(ua.ReadParameters(NodesToRead=[item]))
            assert data.StatusCode.value == ua.StatusCodes.BadIndexRangeInvalid

    on_site(scenario)


def test_a_bad_status_reaches_the_reader_without_a_value(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        tag = "Line/Chute/Level/PV"
        site.plant.bad[tag] = ua.StatusCodes.BadSensorFailure
        await site.server._publish()
        link = site.link()
        await link.connect()
        found = (await link.read()).values[tag]
        assert found == Value(None, ua.StatusCodes.BadSensorFailure, site.plant.time)
        await link.drop()

    on_site(scenario)


def test_lockstep_advances_one_period_per_heartbeat_and_only_then(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        before = await link.progress()
        for beat in (1, 1, 1, 2):
            await link.write({APC.STATE: "ADVISORY", APC.HB: beat})
            await asyncio.sleep(0.05)
        after = await link.progress()
        assert after.heartbeat - before.heartbeat == 10
        assert after.speed == 0.0
        site.plant.refuse[APC.HB] = ua.StatusCodes.BadUserAccessDenied
        await link.write({APC.HB: 3})
        await asyncio.sleep(0.05)
        assert await link.progress() == after
        await link.drop()

    on_site(scenario)


def test_the_plant_learns_that_a_session_has_ended(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        await link.write({APC.HB: 1})
        ((session, _),) = site.plant.batches
        await link.drop()
        await asyncio.sleep(0.1)
        assert session in site.plant.released

    on_site(scenario)


def test_accelerated_time_runs_at_its_factor(root: Path, home: Path) -> None:
    async def scenario() -> tuple[int, float]:
        async with running_site(root, home, speed=50.0) as site:
            began, first = time.monotonic(), site.plant.seconds
            await asyncio.sleep(1.0)
            return site.plant.seconds - first, time.monotonic() - began

    seconds, wall = asyncio.run(scenario())
    assert 10 < seconds <= 50.0 * wall + 15  # a busy machine may fall behind; none may run ahead


def test_a_plant_that_is_too_slow_gives_time_up_instead_of_chasing_it() -> None:
    pace = Pace(10.0, anchor=100.0)
    assert pace.due(100.05) == 0
    assert pace.due(100.1) == 1
    assert pace.due(105.0) == 10
    assert pace.lost_s == pytest.approx(40.0)
    pace.advanced(10)
    assert pace.due(105.0) == 0
    assert pace.wait(105.0) == pytest.approx(0.1)


@pytest.mark.parametrize("text", ["0", "-1", "fast", "1001", "nan", ""])
def test_a_speed_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lockstep"):
        parse_speed(text)


def test_speeds_are_read() -> None:
    assert [parse_speed(t) for t in ("lockstep", "LockStep", "1", "20.5")] == [0.0, 0.0, 1.0, 20.5]
