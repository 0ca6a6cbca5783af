"""What the controller does when the network to the plant fails without saying so.

A real runtime on a real secured link, a real plant behind a proxy; ten plant seconds per second.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.cycle_data import CycleOutput, initial_state, make_setup
from controller.data import CycleRecord, Mode
from controller.link.client import PlantLink
from controller.runtime import Runtime
from controller.supervision.modes import ModeRequest
from hil.plant import Plant
from plant_models.signals import APC, MV, PlcMode
from tests.controller.kit import LINE, TABLE, TARGETS, FilterBrain
from tests.controller.standby_kit import config
from tests.helpers.proxy import Proxy, proxy_to
from tests.helpers.site import Site, running_site
from tests.hil.plc_kit import running_plant
from tools.clocks import SystemClock
from tools.renewal import renew

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("link-faults")]

SPEED = 10.0
PERIOD_S = 0.5  # of wall time
EPOCH = 4711


@dataclass
class Kept:
    """View and recorder in one."""

    outputs: list[CycleOutput] = field(default_factory=list)
    link: str = ""

    async def publish(self, output: CycleOutput, link: str) -> None:
        self.link = link
        self.outputs.append(output)

    def append(self, output: CycleOutput, record: CycleRecord | None = None) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Bench:
    """A plant, a controller, and the proxy between them."""

    home: Path
    plant: Plant
    site: Site
    proxy: Proxy
    link: PlantLink
    runtime: Runtime
    kept: Kept

    async def until(self, what: str, check: Callable[[], bool], within_s: float = 20.0) -> float:
        began = time.monotonic()
        while not check():
            if time.monotonic() - began > within_s:
                raise AssertionError(f"not within {within_s:g} s: {what} ({self.runtime.mode})")
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def ask(self, mode: Mode) -> tuple[bool, str]:
        request = ModeRequest(mode=mode, user="ada", role="operator", reason="test of the link")
        return await self.runtime.ask(request)

    async def close(self) -> None:
        text = ""
        for _ in range(20):
            if self.runtime.mode is Mode.CLOSED_LOOP:
                return
            advisory = self.runtime.mode is Mode.ADVISORY
            _, text = await self.ask(Mode.CLOSED_LOOP if advisory else Mode.ADVISORY)
        raise AssertionError(f"no loop closed: {text}")


@asynccontextmanager
async def running_bench(root: Path, home: Path) -> AsyncIterator[Bench]:
    plant = running_plant()
    plant.set_local("ada", MV.TURRET_SPEED, True, "the PLC holds the level meanwhile")
    async with (
        running_site(root, home, speed=SPEED, plant=plant) as site,
        proxy_to(site.endpoint) as (proxy, endpoint),
    ):
        settings, kept, stop = config(), Kept(), asyncio.Event()
        setup = make_setup(settings, LINE, TABLE, FilterBrain(), TARGETS)
        link = site.link(endpoint=endpoint, config=settings.link)
        state = initial_state(setup, EPOCH)
        runtime = Runtime(setup, state, link, kept, lambda: kept, SystemClock())
        running = asyncio.create_task(runtime.run(stop))
        try:
            yield Bench(home, plant, site, proxy, link, runtime, kept)
        finally:
            stop.set()
            await asyncio.wait_for(running, 20.0)


Scenario = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def on_bench(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Scenario], None]]:
    """One plant and one controller for the tests of this module; time passes only in them."""
    with asyncio.Runner() as runner:
        made = running_bench(root, tmp_path_factory.mktemp("home"))
        bench = runner.run(made.__aenter__())

        async def healed(scenario: Scenario) -> None:
            try:
                await asyncio.wait_for(scenario(bench), 60.0)
            finally:
                bench.proxy.delay_s = bench.proxy.answer_s = 0.0
                bench.proxy.forwarding.set()

        yield lambda scenario: runner.run(healed(scenario))
        runner.run(made.__aexit__(None, None, None))


def slow(proxy: Proxy) -> None:
    proxy.answer_s = 5.0


def half_open(proxy: Proxy) -> None:
    proxy.forwarding.clear()


def late(proxy: Proxy) -> None:
    proxy.delay_s = 5.0


# Fault -> what it does to the network; the second is the first seen from the other side.
FAULTS: Mapping[str, Callable[[Proxy], None]] = {
    "answers after 5 s": slow,
    "requests arrive after 5 s": late,
    "half open": half_open,
}


@pytest.mark.parametrize(
    "fault",
    [
        "answers after 5 s",
        pytest.param("requests arrive after 5 s", marks=pytest.mark.slow),
        "half open",
    ],
)
def test_a_network_that_fails_silently_sheds_at_once_and_never_writes_late(
    fault: str, on_bench: Callable[[Scenario], None]
) -> None:
    """SHED within a period and the deadline of a read; nothing counts that arrives afterwards.

    A period is 0.5 s of wall time here, and so is the silence that is allowed; 1 s more is left to
    a busy computer. The plant sheds by its own watchdog, 15 plant seconds after the last command.
    """

    async def scenario(bench: Bench) -> None:
        await bench.close()
        await asyncio.sleep(3 * PERIOD_S)
        assert bench.plant.received[-1].accepted
        second, connections = bench.plant.second, bench.link.connections
        FAULTS[fault](bench.proxy)
        took = await bench.until("shed", lambda: bench.runtime.mode is Mode.SHED, 10.0)
        assert took <= 2 * PERIOD_S + 1.0
        reason = bench.runtime._state.supervision.cause
        assert reason and bench.kept.link != "connected"
        local = await bench.until(
            "the plant sheds", lambda: bench.plant.state.lease.mode is PlcMode.LOCAL, 10.0
        )
        watchdog_s = bench.plant.parameters.config.watchdog_s
        assert local <= (watchdog_s + 1) / SPEED + 1.0
        assert "no accepted command" in bench.plant.state.lease.shed_cause
        if fault != "half open":
            await asyncio.sleep(max(0.0, 5.2 - local))  # what was on its way has arrived by now
        bench.proxy.delay_s = bench.proxy.answer_s = 0.0
        bench.proxy.forwarding.set()
        back = await bench.until(
            "connected again",
            lambda: bench.link.connections > connections and bench.kept.link == "connected",
            10.0,
        )
        assert back <= bench.runtime._config.connect_timeout_s + 3.0
        assert bench.runtime.mode is Mode.SHED
        echo_max_s = bench.plant.parameters.config.echo_max_s
        late_ones = [
            c for c in bench.plant.received if c.accepted and c.second > second + echo_max_s + 1
        ]
        assert late_ones == []
        granted, text = await bench.ask(Mode.ADVISORY)
        assert granted, text

    on_bench(scenario)


def test_a_plant_that_answers_slowly_but_in_time_keeps_its_controller(
    on_bench: Callable[[Scenario], None],
) -> None:
    """Answers after 0.1 s of a period of 0.5 s: nothing is shed, no frame is refused."""

    async def scenario(bench: Bench) -> None:
        await bench.close()
        bench.proxy.answer_s = 0.1
        refused = sum(not c.accepted for c in bench.plant.received)
        before = len(bench.plant.received)
        await asyncio.sleep(5 * PERIOD_S)
        assert bench.runtime.mode is Mode.CLOSED_LOOP
        assert len(bench.plant.received) >= before + 3
        assert sum(not c.accepted for c in bench.plant.received) == refused

    on_bench(scenario)


def test_a_closed_loop_stays_closed_while_the_controllers_keys_are_renewed(
    on_bench: Callable[[Scenario], None],
) -> None:
    """Another session goes on with the same epoch, from one frame to the next."""

    async def scenario(bench: Bench) -> None:
        await bench.close()
        before, connections = len(bench.plant.received), bench.link.connections
        session = bench.plant.state.lease.session
        cycle = bench.runtime.state.cycle
        await asyncio.to_thread(renew, bench.home, "controller")
        await bench.until("a new session", lambda: bench.link.connections > connections)
        await bench.until("three frames", lambda: len(bench.plant.received) >= before + 4)
        assert bench.runtime.mode is Mode.CLOSED_LOOP
        assert bench.plant.state.lease.session != session
        later = bench.plant.received[before:]
        assert all(c.accepted and c.epoch == EPOCH for c in later)
        cycles = [o for o in bench.kept.outputs if o.state.cycle > cycle]
        assert all(o.record.snapshot is not None and o.record.validated for o in cycles)
        beats = [o.record.time for o in cycles]
        assert max(b - a for a, b in itertools.pairwise(beats)) < 2 * PERIOD_S * SPEED

    on_bench(scenario)


def test_the_state_of_the_link_carries_the_days_left(on_bench: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.until("a cycle", lambda: bench.kept.link == "connected")
        inputs: Any = bench.kept.outputs[-1].record.extra["inputs"]
        assert set(inputs.link.certificates) == {"controller", "plant", "operator"}
        assert all(364.0 < days <= 365.0 for days in inputs.link.certificates.values())

    on_bench(scenario)


@pytest.mark.slow
def test_the_plant_forgets_a_controller_that_is_gone_without_a_word(
    root: Path, tmp_path: Path
) -> None:
    """Half open towards the plant: the session ends 10 s after its last request."""

    async def scenario() -> None:
        async with (
            running_site(root, tmp_path) as site,
            proxy_to(site.endpoint) as (proxy, endpoint),
        ):
            link = site.link(endpoint=endpoint)
            await link.connect()
            await link.write({APC.HB: 1})
            ((session, _),) = site.plant.batches
            proxy.forwarding.clear()
            began = time.monotonic()
            while session not in site.plant.released:
                assert time.monotonic() - began < 20.0
                await asyncio.sleep(0.1)
            assert time.monotonic() - began > 8.0
            await link.drop()

    asyncio.run(scenario())
