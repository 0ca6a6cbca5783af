"""An accepted advice at a real PLC: its own secured session, in the operator's role, in LOCAL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from controller.config import LinkConfig
from controller.link.advisor import DONE, PlantAdvisor
from controller.link.client import Credentials, PlantLink
from controller.link.tagmap import TagEntry, TagMapConfig
from hil.plant import Plant
from hil.server import PlantServer, ServeSettings
from plant_models.signals import APC, MV, PLC, SignalTable
from tests.helpers.proxy import proxy_to
from tests.helpers.site import security_config
from tools.clocks import SystemClock
from tools.configuration import load_line, load_scenario
from tools.pki import Party, ensure_pki
from tools.security import ensure_secrets, read_password, secrets_folder, server_security

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("opcua-advisor")]

START = 1_767_225_600.0
WARM_S = 1_100  # the line runs


@dataclass
class Works:
    """A plant in LOCAL with its server, and sessions at it."""

    plant: Plant
    endpoint: str
    party: Party
    secrets: Path
    table: SignalTable

    def credentials(self, user: str) -> Credentials:
        return Credentials(
            user=user,
            password=read_password(self.secrets / f"{user}.password"),
            certificate=self.party.certificate,
            private_key=self.party.private_key,
            server_certificate=self.party.certificate_of("plant"),
            application_uri=self.party.uri,
        )

    def link(
        self,
        user: str = "operator",
        *,
        endpoint: str | None = None,
        tagmap: TagMapConfig | None = None,
        credentials: Credentials | None = None,
    ) -> PlantLink:
        return PlantLink(
            self.table,
            LinkConfig(read_timeout_s=1.0),
            credentials or self.credentials(user),
            SystemClock(),
            endpoint=endpoint or self.endpoint,
            tagmap=tagmap,
        )

    def actual(self, mv: str) -> float:
        value = self.plant.values()[f"{mv}/ACT"].value
        assert isinstance(value, float)
        return value


@asynccontextmanager
async def works(root: Path, home: Path) -> AsyncIterator[Works]:
    line = load_line(root / "configs/lines/reference.yaml")
    calm = load_scenario(root / "configs/scenarios/calm.yaml")
    plant = Plant(line, calm, seed=3, start_time=START, run_dir=None)
    plant.advance(WARM_S)
    config, clock, parties = security_config(root), SystemClock(), ensure_pki(home)
    ensure_secrets(secrets_folder(home), config)
    security = server_security(parties["plant"], secrets_folder(home), config, clock)
    server = PlantServer(plant, ServeSettings(port=0, speed=0.0), security, clock)
    await server.start()
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop))
    try:
        yield Works(
            plant, server.endpoint, parties["controller"], secrets_folder(home), plant.table
        )
    finally:
        stop.set()
        await running
        await server.stop()


Scenario = Callable[[Works], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def at_works(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    runner, stack = asyncio.Runner(), AsyncExitStack()
    site = runner.run(stack.enter_async_context(works(root, tmp_path_factory.mktemp("home"))))

    def run(scenario: Scenario) -> None:
        runner.run(asyncio.wait_for(scenario(site), 60.0))

    yield run
    runner.run(stack.aclose())
    runner.close()


Run = Callable[[Scenario], None]


def test_an_order_moves_the_set_point_in_local_without_lease_or_frame(
    at_works: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(site: Works) -> None:
        wanted = site.actual(MV.TOTAL_FEED) + 0.2
        before, writes = site.plant.values(), list[object]()
        with monkeypatch.context() as patch:
            patch.setattr(site.plant, "write", lambda *batch: writes.append(batch) or {})
            answer = await PlantAdvisor(site.link).operator_set(
                MV.TOTAL_FEED, wanted, "anna: advice 7: throughput is low"
            )
        assert (answer, writes) == (DONE, [])
        site.plant.advance(10)
        assert site.actual(MV.TOTAL_FEED) == pytest.approx(wanted)
        after = site.plant.values()
        for tag in (PLC.MODE_ACT, APC.EPOCH, APC.HB, APC.SEQ_HEAD, APC.SEQ_TAIL, APC.ECHO):
            assert after[tag].value == before[tag].value
        assert after[PLC.MODE_ACT].value == "LOCAL"
        assert after[PLC.REJECTED_COUNT].value == before[PLC.REJECTED_COUNT].value
        entry = site.plant.events[-1]
        assert entry.what == f"OperatorSet {MV.TOTAL_FEED} {wanted!r}"
        assert entry.user == "operator"
        assert "anna: advice 7: throughput is low" in entry.reason

    at_works(scenario)


def test_the_plc_says_why_not(at_works: Run) -> None:
    async def scenario(site: Works) -> None:
        advisor = PlantAdvisor(site.link)
        answer = await advisor.operator_set(MV.TOTAL_FEED, 99.0, "anna: advice 8: test")
        assert "outside the range" in answer
        answer = await advisor.operator_set(MV.TOTAL_FEED, float("nan"), "anna: advice 8: test")
        assert answer != DONE

    at_works(scenario)


@pytest.mark.parametrize("user", ["controller", "observer"])
def test_only_an_operator_s_account_may_set(at_works: Run, user: str) -> None:
    async def scenario(site: Works) -> None:
        before = site.actual(MV.TOTAL_FEED)
        advisor = PlantAdvisor(lambda: site.link(user))
        answer = await advisor.operator_set(MV.TOTAL_FEED, before + 0.1, "anna: advice 9: test")
        assert answer.startswith("refused: BadUserAccessDenied")
        site.plant.advance(5)
        assert site.actual(MV.TOTAL_FEED) == before

    at_works(scenario)


def test_a_wrong_password_or_an_unknown_server_sends_nothing(at_works: Run) -> None:
    async def scenario(site: Works) -> None:
        before = len(site.plant.events)
        wrong = replace(site.credentials("operator"), password="wrong")
        for link in (
            lambda: site.link(credentials=wrong),
            lambda: site.link(endpoint="opc.tcp://127.0.0.1:9/twinline/plant"),
        ):
            answer = await PlantAdvisor(link).operator_set(MV.TOTAL_FEED, 20.1, "anna: advice 1: x")
            assert answer.startswith("nothing was sent: ")
        sets = [e for e in site.plant.events[before:] if e.what.startswith("OperatorSet")]
        assert sets == []

    at_works(scenario)


def test_a_server_that_means_another_unit_is_sent_nothing(at_works: Run) -> None:
    async def scenario(site: Works) -> None:
        tagmap = TagMapConfig(tags={f"{MV.TOTAL_FEED}/ACT": TagEntry(unit="kg/min")})
        advisor = PlantAdvisor(lambda: site.link(tagmap=tagmap), tagmap)
        answer = await advisor.operator_set(MV.TOTAL_FEED, 20.1, "anna: advice 2: test")
        assert answer.startswith("nothing was sent: ") and "kg/min" in answer

    at_works(scenario)


def test_an_answer_that_does_not_come_is_said_and_not_asked_for_again(at_works: Run) -> None:
    async def scenario(site: Works) -> None:
        async with proxy_to(site.endpoint) as (proxy, endpoint):
            link = site.link(endpoint=endpoint)
            connect = link.connect

            async def then_slow() -> None:
                await connect()
                proxy.delay_s = 3.0

            link.connect = then_slow  # type: ignore[method-assign]
            before = len(site.plant.events)
            value = site.actual(MV.TOTAL_FEED)
            answer = await PlantAdvisor(lambda: link).operator_set(
                MV.TOTAL_FEED, value, "anna: advice 3: test"
            )
            assert "may set" in answer and "look at the set point" in answer
            proxy.delay_s = 0.0
            await asyncio.sleep(3.5)
            sets = [e for e in site.plant.events[before:] if e.what.startswith("OperatorSet")]
            assert len(sets) <= 1

    at_works(scenario)
