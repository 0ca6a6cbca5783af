"""A recording behind OPC UA and a controller that watches it, as two processes."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua

from controller.cycle_data import initial_state
from controller.data import CycleRecord
from controller.records.codec import encode
from controller.records.historian import History, sqlite_url
from controller.records.state_file import save_state
from hil.recorded import NO_DATA, NOT_RECORDED, REFUSAL, RecordedPlant
from plant_models.signals import APC, GOOD, MV, PLC
from tests.e2e.conftest import Shop, until
from tests.helpers.playing import (
    EXTRACT,
    MONITOR,
    PERIOD,
    bare_monitor,
    extract,
    monitor_setup,
    played,
    recorded_line,
)
from tools.processes import Child, private_home, start_command, start_control
from tools.rundir import Listening, RunDir

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("recording")]

FORCE = "Line/Press/MainForce/PV"


class Player(Shop):
    """A run in which the extract is played."""

    @property
    def line(self) -> Path:
        return self.root / "configs" / "lines" / "recorded_press.yaml"

    def plant(self, speed: str, *options: str | Path) -> tuple[Child, Listening]:
        port = () if "--port" in options else ("--port", "0")
        play = ["plant", "--recording", EXTRACT, "--run", self.run.path, *port]
        child = start_command("plant", [*play, "--speed", speed, *options], self.run)
        self.children.append(child)
        return child, child.wait_listening(self.run)

    def monitor(self, file: Path, *options: str | Path) -> Child:
        child = start_control(self.run, file, *options)
        self.children.append(child)
        child.wait_listening(self.run)
        return child

    def records(self) -> list[CycleRecord]:
        history = History(sqlite_url(self.run.historian))
        found = [r for start in history.starts() for r in history.records(start)]
        history.close()
        return found


@pytest.fixture
def player(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    monkeypatch.chdir(root)
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    with private_home(run.path):
        made = Player(root, run)
        try:
            yield made
        finally:
            made.stop()
    assert not run.secrets.exists() and not (run.path / "home").exists()


async def watched(player: Player, cycles: int) -> None:
    async with player.operator() as desk:

        async def far_enough() -> bool:
            return (await desk.state())[2] >= cycles

        await until(f"{cycles} cycles", far_enough, 60.0)


def test_a_recording_is_watched_in_lockstep_and_nobody_moves_it(player: Player) -> None:
    first = 1690
    player.plant("lockstep", "--from-row", str(first))
    controller = player.monitor(bare_monitor(player.run.path))

    async def scenario() -> None:
        async with player.operator() as desk, player.at_plant() as plant:

            async def watching() -> bool:
                return (await desk.state())[2] >= 30

            await until("30 cycles", watching)
            (mode, permit, state, refused, shown) = await plant.read(
                [PLC.MODE_ACT, PLC.PERMIT, PLC.LINE_STATE, PLC.REJECTED_COUNT, APC.STATE]
            )
            assert (mode, permit, state, refused, shown) == ("LOCAL", False, None, 0, "MONITORING")
            assert await plant.operator_set(MV.THICKNESS, 3.0, "a test") == REFUSAL
            assert await plant.line_command("hold", "a test") == REFUSAL
            accepted, _ = await desk.request_mode("ADVISORY", "a test")
            assert accepted
            accepted, said = await desk.request_mode("CLOSED_LOOP", "a test")
            assert not accepted and "PLC" in said

    asyncio.run(scenario())
    assert controller.stop() == 0
    records = player.records()
    assert not any(r.command.frame for r in records)
    assert {str(r.mode) for r in records} == {"MONITORING", "ADVISORY"}
    times = extract().time[first - 1 :].tolist()
    assert [r.time for r in records] == times[: len(records)]
    assert any(b - a > PERIOD for a, b in itertools.pairwise(r.time for r in records))
    beats = [r.snapshot.values[PLC.HB].value for r in records]
    assert beats == [PERIOD * i for i in range(len(records))]


def test_a_secured_session_sees_good_and_bad_and_is_refused_its_writes(player: Player) -> None:
    nan = int(np.flatnonzero(np.isnan(extract().channels["main_force"]))[0])
    _, listening = player.plant("lockstep", "--from-row", str(nan - 2))

    async def scenario() -> None:
        link = player.link(listening.endpoint)
        await link.connect()
        assert link.disagreements == ()
        seen = [await link.read()]
        for beat in range(1, 4):
            assert await link.write({APC.HB: beat, APC.STATE: "MONITORING"}) == {
                APC.HB: GOOD,
                APC.STATE: GOOD,
            }

            async def moved(beat: int = beat) -> bool:
                return (await link.progress()).heartbeat == PERIOD * beat

            await until("the next row", moved)
            seen.append(await link.read())
        waiting = ua.StatusCodes.BadWaitingForInitialData
        assert [s.values[FORCE].status for s in seen] == [waiting, GOOD, GOOD, NO_DATA]
        assert [s.time for s in seen] == extract().time[nan - 3 : nan + 1].tolist()
        in_process = RecordedPlant(recorded_line(), extract(), first_row=nan - 2)
        in_process.advance(2 * PERIOD)
        for tag, value in in_process.snapshot().values.items():
            if tag in seen[2].values and not tag.startswith("Line/APC/"):
                assert seen[2].values[tag] == value, tag
        assert seen[2].values["Line/Feeder1/Weight/PV"].status == NOT_RECORDED
        assert seen[2].values[f"{MV.FILL_DEPTH}/ACT"].status == NOT_RECORDED
        assert await link.request_control("CASCADE", 7, "a test") == REFUSAL
        frame = {APC.SEQ_HEAD: 1, f"{MV.THICKNESS}/REQ": 3.0, APC.EPOCH: 7, APC.SEQ_TAIL: 1}
        assert set((await link.write(frame)).values()) == {ua.StatusCodes.BadNotWritable}
        assert set((await link.write({PLC.PERMIT: True})).values()) == {
            ua.StatusCodes.BadNotWritable
        }
        after = await link.read()
        assert after.values[PLC.REJECTED_COUNT].value == 1
        assert after.values[APC.EPOCH].value == 0
        second = player.link(listening.endpoint)
        await second.connect()
        denied = await second.write({APC.HB: 1})
        assert set(denied.values()) == {ua.StatusCodes.BadUserAccessDenied}
        await second.drop()
        await link.drop()

    asyncio.run(scenario())


def test_a_killed_player_goes_on_and_ends_without_stopping(player: Player) -> None:
    """At speed 200 the 12 rows take 0.6 s; then the plant stays up and shows nothing recorded."""
    plant, listening = player.plant("200", "--from-row", "4980")
    port = listening.endpoint.rpartition(":")[2].partition("/")[0]

    async def beat(more: float) -> float:
        async with player.at_plant() as desk:
            (start,) = await desk.read([PLC.HB])

            async def later() -> bool:
                (now,) = await desk.read([PLC.HB])
                return bool(now >= start + more)

            took = await until(f"{more} plant seconds", later)
            (speed,) = await desk.read([PLC.SPEED])
            assert speed == 200.0
            return took

    asyncio.run(beat(50.0))
    plant.kill()
    saved = RecordedPlant.resume(recorded_line(), extract(), run_dir=player.run.path)
    assert saved.second >= 40
    plant, _ = player.plant("200", "--port", port)
    assert 0.5 < asyncio.run(beat(300.0)) < 6.0

    async def ended() -> None:
        async with player.at_plant() as desk:
            force, time, heartbeat = await desk.read([FORCE, PLC.TIME, PLC.HB])
            assert force is None and heartbeat > 200
            assert time.timestamp() % 1e9 == pytest.approx(extract().time[-1] % 1e9, abs=1e-3)

    asyncio.run(ended())
    assert plant.stop() == 0
    other = EXTRACT.with_name("press_code3.csv.gz")
    options = ["plant", "--recording", other, "--run", player.run.path, "--port", "0"]
    refused = start_command("plant", options, player.run)
    player.children.append(refused)
    assert refused.process.wait(30.0) == 2
    assert "belongs to another recording" in refused.last_words()


def test_a_resumed_controller_thinks_what_it_would_have_thought_in_process(
    player: Player,
) -> None:
    """The last 60 of 900 rows once more over OPC UA, from the memory saved before them.

    The state names no software: the controller reads its own sources later than this test, and
    somebody may be editing them.
    """
    rows, played_rows = 60, 900
    first = extract().size - rows
    setup = monitor_setup(MONITOR)
    setup = replace(setup, hashes={**setup.hashes, "software": ""})
    plant = RecordedPlant(recorded_line(), extract(), first_row=extract().size - played_rows)
    outputs = list(played(plant, setup, initial_state(setup, 1), played_rows))
    state = player.run.path / "press.state"
    save_state(state, outputs[-rows - 1].state, setup)
    player.plant("lockstep", "--from-row", str(first))
    controller = player.monitor(MONITOR, "--resume", state)
    asyncio.run(watched(player, played_rows + 2))
    assert controller.stop() == 0
    online = [r for r in player.records() if r.time > extract().time[first - 1]][:rows]
    whole = [o.record for o in outputs[-rows:]]
    assert [r.time for r in online] == [r.time for r in whole]
    assert sum(r.forecast is not None for r in whole) > rows / 2
    for one, other in zip(whole, online, strict=True):
        assert one.validated is not None and other.validated is not None
        assert encode(other.validated.measurements) == encode(one.validated.measurements)
        assert encode((other.estimate, other.forecast)) == encode((one.estimate, one.forecast))


def test_a_controller_refuses_the_memory_of_another(player: Player) -> None:
    file = bare_monitor(player.run.path)
    setup = monitor_setup(file)
    state = player.run.path / "press.state"
    save_state(state, initial_state(setup, 1), setup)
    text = file.read_text("utf-8")
    file.write_text(text.replace("spike: 5.0", "spike: 4.0"), "utf-8")
    assert file.read_text("utf-8") != text
    for options, said in (
        (("--resume", state), "another configuration of the controller"),
        (("--resume", EXTRACT), "no saved state of a controller"),
    ):
        child = start_control(player.run, file, *options)
        player.children.append(child)
        assert child.process.wait(60.0) == 2
        assert said in " ".join(child.last_words().split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--recording", "nowhere.csv"), "cannot be read"),
        (("--recording", EXTRACT, "--seed", "2"), "--seed: only for a simulated line"),
        (("--recording", EXTRACT, "--from-row", "5000"), "no row 5000; its 5000 rows"),
        (("--recording", EXTRACT, "configs/lines/reference.yaml"), "'reference line' is 5 s"),
        (("--recording", EXTRACT, "--mapping", "configs/lines/reference.yaml"), "this is a line"),
        (("--from-row", "3"), "only with --recording"),
    ],
)
def test_what_cannot_be_played_is_bad_input(
    player: Player, options: tuple[str | Path, ...], said: str
) -> None:
    child = start_command("plant", ["plant", *options, "--run", player.run.path], player.run)
    player.children.append(child)
    assert child.process.wait(60.0) == 2
    assert said in " ".join(child.last_words().split())
