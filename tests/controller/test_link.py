"""The link to the plant: what is read and written, and what happens when the line goes dead."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import ua

from controller.config import LinkConfig
from controller.link.client import LinkLost, Progress, WriteTimeout
from controller.link.tagmap import TagEntry, TagMapConfig
from plant_models.signals import APC, GOOD, MV, PLC, SignalTable
from tests.helpers.proxy import proxy_to
from tests.helpers.site import Run, SharedSite, Site, running_site

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("opcua-link")]

FLOW = "Line/Feeder1/MassFlow/PV"
REQUEST = f"{MV.THICKNESS}/REQ"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def on_site(root: Path, home: Path) -> Iterator[Run]:
    shared = SharedSite(root, home)
    yield shared.run
    shared.close()


def test_one_read_brings_every_tag_of_a_cycle_with_status_and_source_time(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        snapshot = await link.read()
        plant = site.plant.values()
        wanted = {s.tag for s in site.plant.table if s.read_every_cycle} | {PLC.SCAN_ID}
        assert set(snapshot.values) == wanted
        assert {t: v.value for t, v in snapshot.values.items()} == {
            t: plant[t].value for t in wanted
        }
        assert {v.source_time for v in snapshot.values.values()} == {site.plant.time}
        assert (snapshot.time, snapshot.scan_id) == (site.plant.time, site.plant.seconds)
        await link.drop()

    on_site(scenario)


def test_a_server_that_means_the_same_does_not_disagree(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        assert link.disagreements == ()
        await link.drop()

    on_site(scenario)


def test_another_unit_range_or_signal_list_is_named(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        table = site.plant.table
        changed = {
            FLOW: replace(table[FLOW], unit="N"),
            REQUEST: replace(table[REQUEST], hi=99.0),
        }
        ours = SignalTable(tuple(changed.get(s.tag, s) for s in table.signals), table.manipulated)
        link = site.link(table=ours)
        await link.connect()
        assert list(link.disagreements) == [
            f"{FLOW}: the server's unit is 'kg/h', expected 'N'",
            f"{REQUEST}: the server's range is 2.6..3.6 mm, expected 2.6..99",
            f"{PLC.MODEL_VERSION}: the server's is {table.model_version()!r}, "
            f"expected {ours.model_version()!r}",
        ]
        await link.drop()

    on_site(scenario)


def test_a_tag_map_renames_scales_and_shifts_both_ways(on_site: Run) -> None:
    """The server's node of another tag stands for a foreign one, in another unit."""

    async def scenario(site: Site) -> None:
        tagmap = TagMapConfig(
            tags={
                "Line/Feeder1/Weight/PV": TagEntry(node="Line/Blender/Torque/PV", unit="N m"),
                FLOW: TagEntry(node="Line/Feeder2/MassFlow/PV", scale=2.0, offset=-5.0),
                REQUEST: TagEntry(scale=0.5, offset=1.0),
            }
        )
        link = site.link(tagmap=tagmap)
        await link.connect()
        plant, snapshot = site.plant.values(), await link.read()
        theirs = plant["Line/Feeder2/MassFlow/PV"].value
        assert isinstance(theirs, float)
        assert snapshot.values[FLOW].value == pytest.approx(2.0 * theirs - 5.0)
        assert (
            snapshot.values["Line/Feeder1/Weight/PV"].value == plant["Line/Blender/Torque/PV"].value
        )
        await link.write({REQUEST: 3.0})
        assert site.plant.batches[0][1] == {REQUEST: pytest.approx(4.0)}
        named = {d.partition(":")[0] for d in link.disagreements}
        assert named == {"Line/Feeder1/Weight/PV", FLOW, REQUEST}  # their ranges differ
        await link.drop()

    on_site(scenario)


def test_a_refused_item_is_told_item_by_item(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        site.plant.refuse[APC.ECHO] = ua.StatusCodes.BadUserAccessDenied
        link = site.link()
        await link.connect()
        codes = await link.write({APC.SEQ_HEAD: 1, APC.ECHO: 2, APC.SEQ_TAIL: 1})
        assert codes == {
            APC.SEQ_HEAD: GOOD,
            APC.ECHO: ua.StatusCodes.BadUserAccessDenied,
            APC.SEQ_TAIL: GOOD,
        }
        await link.drop()

    on_site(scenario)


def test_a_write_without_an_answer_is_given_up_and_still_arrives(on_site: Run) -> None:
    """The reason for the echo in a frame: given up here, executed there, seconds later."""

    async def scenario(site: Site) -> None:
        async with proxy_to(site.endpoint) as (proxy, endpoint):
            link = site.link(endpoint=endpoint, config=LinkConfig(write_timeout_s=0.2))
            await link.connect()
            proxy.delay_s = 1.0
            with pytest.raises(WriteTimeout):
                await link.write({APC.SEQ_HEAD: 1})
            assert site.plant.batches == []  # it was given up before it could arrive
            await asyncio.sleep(1.5)
            assert [b for _, b in site.plant.batches] == [{APC.SEQ_HEAD: 1}]
            await link.drop()

    on_site(scenario)


def test_a_dead_network_is_noticed_within_the_deadline_of_a_read(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with proxy_to(site.endpoint) as (proxy, endpoint):
            link = site.link(endpoint=endpoint, config=LinkConfig(read_timeout_s=0.3))
            await link.connect()
            proxy.forwarding.clear()
            began = time.monotonic()
            with pytest.raises(LinkLost):
                await link.read()
            await link.drop()
            assert time.monotonic() - began < 10.0

    on_site(scenario)


def test_a_dead_network_is_noticed_within_a_period_at_the_plants_speed(
    root: Path, home: Path
) -> None:
    """At speed 10 a period of 5 s is 0.5 s of wall time; a read alone would wait for 10 s."""

    async def scenario() -> float:
        async with (
            running_site(root, home, speed=10.0) as site,
            proxy_to(site.endpoint) as (proxy, endpoint),
        ):
            link = site.link(endpoint=endpoint, config=LinkConfig(read_timeout_s=10.0))
            await link.connect()
            progress = await link.next_cycle(await link.next_cycle(None, 5.0), 5.0)
            proxy.forwarding.clear()
            began = time.monotonic()
            with pytest.raises(LinkLost):
                await link.next_cycle(progress, 5.0)
            took = time.monotonic() - began
            await link.drop()
            return took

    assert asyncio.run(scenario()) < 8.0


def test_a_cut_connection_is_lost_at_once_and_a_fresh_one_works(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        async with proxy_to(site.endpoint) as (proxy, endpoint):
            link = site.link(endpoint=endpoint)
            await link.connect()
            tasks = []
            for number in range(2, 7):
                proxy.cut()
                with pytest.raises(LinkLost):
                    await link.read()
                    await link.read()
                await link.connect()
                assert (await link.read()).scan_id == site.plant.seconds
                assert link.connections == number
                await asyncio.sleep(0.1)
                tasks.append(len(asyncio.all_tasks()))
            assert tasks[-1] <= tasks[0]  # nothing piles up
            await link.drop()

    on_site(scenario)


def test_silence_in_lockstep_is_noticed_by_our_own_clock(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link(config=LinkConfig(lockstep_silence_s=0.3))
        await link.connect()
        now = await link.progress()
        began = time.monotonic()
        with pytest.raises(LinkLost, match="stands still"):
            await link.next_cycle(now, 5.0)
        assert 0.3 <= time.monotonic() - began < 10.0
        await link.drop()

    on_site(scenario)


def test_a_plant_that_counts_from_an_earlier_second_was_restarted(on_site: Run) -> None:
    async def scenario(site: Site) -> None:
        link = site.link()
        await link.connect()
        later = Progress(scan_id=10**6, heartbeat=10**6, speed=0.0)
        assert (await link.next_cycle(later, 5.0)).heartbeat == site.plant.seconds
        await link.drop()

    on_site(scenario)


def test_cycles_follow_the_plant_when_time_runs_freely(root: Path, home: Path) -> None:
    async def scenario() -> list[int]:
        async with running_site(root, home, speed=20.0) as site:
            link = site.link()
            await link.connect()
            progress, beats = None, []
            for _ in range(5):
                progress = await link.next_cycle(progress, 5.0)
                beats.append(progress.heartbeat)
            await link.drop()
            return beats

    beats = asyncio.run(scenario())
    steps = [b - a for a, b in itertools.pairwise(beats)]
    assert all(5 <= step <= 8 for step in steps)


def test_a_tag_map_must_be_invertible_and_know_its_tags(on_site: Run) -> None:
    with pytest.raises(ValueError, match="scale"):
        TagEntry(scale=0.0)

    async def scenario(site: Site) -> None:
        tags = {"Line/No/Such/PV": TagEntry(), PLC.LINE_STATE: TagEntry(scale=2.0)}
        assert TagMapConfig(tags=tags).mistakes(site.plant.table) == (
            "Line/No/Such/PV: no such tag",
            f"{PLC.LINE_STATE}: scale and offset need a Double",
        )

    on_site(scenario)
