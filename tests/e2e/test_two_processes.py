"""Plant and controller as two processes over OPC UA: what happens when one of them dies."""

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.data import Mode
from controller.records.audit import read_audit
from controller.records.historian import History, sqlite_url
from hil.tally import read_tally
from plant_models.signals import APC, MV, PLC, CommandFrame, LineState, PlcMode
from tests.e2e.conftest import Shop, close_the_loop, until
from tests.helpers.proxy import proxy_to
from tools.cli import app
from tools.configuration import load_line
from tools.processes import start_plant

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("two-processes")]

SPEED = 10.0
PERIOD_S = 5.0


def test_a_command_delayed_in_the_network_is_refused(shop: Shop) -> None:
    """At speed 5, `ECHO_MAX_S` = 3 s are 0.6 s of wall time; the proxy holds a frame for 1.2 s."""
    _, listening = shop.plant("5")

    async def scenario() -> None:
        async with proxy_to(listening.endpoint) as (proxy, endpoint), shop.at_plant() as desk:
            link = shop.link(endpoint)
            await link.connect()
            assert await link.request_control("CASCADE", 77, "test of delays") == "granted"

            async def frame(number: int, thickness: float) -> CommandFrame:
                seen = await link.read()
                actual = {
                    m: seen.number(f"{m}/ACT") or 0.0
                    for m in vars(MV).values()
                    if isinstance(m, str) and m.startswith("Line/")
                }
                echo = seen.number(PLC.HB)
                assert echo is not None
                return CommandFrame(
                    sequence=number,
                    requests={**actual, MV.THICKNESS: actual[MV.THICKNESS] + thickness},
                    echo=int(echo),
                    epoch=77,
                )

            async def plant(tag: str) -> float:
                (value,) = await desk.read([tag])
                return float(value)

            refused = await plant(PLC.REJECTED_COUNT)
            start = await plant(f"{MV.THICKNESS}/ACT")
            await link.write((await frame(1, +0.01)).as_writes())
            assert await plant(PLC.REJECTED_COUNT) == refused
            await asyncio.sleep(1.0)
            moved = await plant(f"{MV.THICKNESS}/ACT")
            assert moved == pytest.approx(start + 0.01, abs=1e-6)

            late = await frame(2, +0.01)
            proxy.delay_s = 1.2
            with pytest.raises(Exception, match="in time"):
                await link.write(late.as_writes())
            await asyncio.sleep(1.5)
            assert await plant(PLC.REJECTED_COUNT) == refused + 1
            assert await plant(f"{MV.THICKNESS}/ACT") == moved
            await link.drop()

    asyncio.run(scenario())


def test_a_second_controller_takes_the_lease_and_the_first_is_refused(shop: Shop) -> None:
    _, listening = shop.plant(f"{SPEED:g}")
    shop.controller()

    async def scenario() -> None:
        async with shop.operator() as desk:
            await close_the_loop(desk)
            second = shop.link(listening.endpoint)
            await second.connect()
            assert await second.request_control("CASCADE", 4711, "taking over") == "granted"

            async def shed() -> bool:
                return (await desk.state())[0] == "SHED"

            took = await until("the first controller sheds", shed, 10.0)
            assert took <= 3.0 * PERIOD_S / SPEED
            (cause,) = await desk.read(["Controller/Cause"])
            assert "another controller holds the lease" in cause
            codes = await second.write({APC.STATE: "ADVISORY", APC.HB: 1})
            assert set(codes.values()) == {0}
            assert (await second.read()).values[APC.EPOCH].value == 4711
            await second.drop()

    asyncio.run(scenario())
    shop.stop()
    kept = read_audit(sqlite_url(shop.run.historian), user="operator")
    assert (kept[0].what, kept[0].accepted) == ("login", True)
    asked = [e for e in kept if e.what == "RequestMode(mode='CLOSED_LOOP')" and e.accepted]
    assert asked and {(e.role, e.reason) for e in asked} == {("operator", "test of the link")}


def test_the_plant_is_killed_and_comes_back(shop: Shop) -> None:
    """The controller sheds within one cycle, reconnects by itself and offers ADVISORY again."""
    plant, listening = shop.plant(f"{SPEED:g}")
    port = listening.endpoint.rpartition(":")[2].partition("/")[0]
    shop.controller()

    async def scenario() -> None:
        async with shop.operator() as desk:
            await close_the_loop(desk)
            _, _, before, _ = await desk.state()
            plant.kill()

            async def shed() -> bool:
                return (await desk.state())[0] == "SHED"

            took = await until("the controller sheds", shed, 10.0)
            assert took <= PERIOD_S / SPEED + 0.5
            _, _, after, _ = await desk.state()
            assert after - before <= 2
            accepted, text = await desk.request_mode("CLOSED_LOOP", "too early")
            assert not accepted and "no way" in text

            shop.plant(f"{SPEED:g}", "--port", port)

            async def connected() -> bool:
                return (await desk.state())[1] == "connected"

            back = await until("the controller reconnects", connected, 30.0)
            assert back <= 4.0
            assert (await desk.state())[0] == "SHED"
            accepted, text = await desk.request_mode("ADVISORY", "the plant is back")
            assert accepted, text
            await close_the_loop(desk)

    asyncio.run(scenario())
    history = History(sqlite_url(shop.run.historian))
    changes = [e["text"] for e in history.events() if e["kind"] == "mode"]
    history.close()
    assert sum("CLOSED_LOOP -> SHED" in text for text in changes) == 1


def _mismatch(shop: Shop) -> Path:
    """The calm scenario with another lot from second 2400 on, of which nobody tells the PLC.

    The force loop holds the force, so that the tablets, and with them what the press takes away,
    become 3 % lighter while the feed stays.
    """
    text = shop.calm.read_text("utf-8")
    line = os.path.relpath(shop.line, shop.run.path)
    lot = "{event: lot_change, at: 0.1042, role: filler, lot: F-9, pressure_scale_percent: 18}"
    text = text.replace("../lines/reference.yaml", line)
    text = text.replace("minutes: 30\n", f"minutes: 240\nevents:\n  - {lot}\n")
    assert "F-9" in text
    file = shop.run.path / "mismatch.yaml"
    file.write_text(text, "utf-8")
    return file


def test_the_controller_is_killed_and_the_level_stays(shop: Shop) -> None:
    """The PLC sheds within its watchdog time; 60 minutes later the level is still 30-80 %.

    Judged by the plant's own log of every second. At speed 50 the hour takes 72 s.
    """
    plant, _ = shop.plant("50", "--scenario", _mismatch(shop))
    controller, _ = shop.controller()
    watchdog_s = load_line(shop.line).line.plc.watchdog_s

    async def scenario() -> None:
        async with shop.at_plant() as desk:
            async with shop.operator() as operator:
                mode = ""
                while mode != "CASCADE":
                    await close_the_loop(operator)
                    (mode, killed) = await desk.read([PLC.MODE_ACT, PLC.HB])
                controller.kill()

            async def an_hour_later() -> bool:
                (now,) = await desk.read([PLC.HB])
                await asyncio.sleep(0.2)
                return bool(now > killed + 3600 + 60)

            await until("an hour of plant time", an_hour_later, 200.0)

    asyncio.run(scenario())
    assert plant.stop() == 0
    seconds, _, commands = read_tally(shop.run.path)
    last = max(c.second for c in commands if c.accepted)
    local = list(PlcMode).index(PlcMode.LOCAL)
    shed = int(
        min(
            s
            for s, m in zip(seconds["second"], seconds["mode"], strict=True)
            if s > last and m == local
        )
    )
    assert shed - last <= watchdog_s + 1
    after = seconds[(seconds["second"] >= shed) & (seconds["second"] <= shed + 3600)]
    assert len(after) == 3601
    assert set(after["mode"]) == {local}
    assert set(after["line_state"]) == {list(LineState).index(LineState.RUNNING)}
    assert after["level"].min() >= 0.30
    assert after["level"].max() <= 0.80
    weight = [np.nanmean(part["weight"]) for part in (after[:300], after[-600:])]
    assert weight[1] / weight[0] == pytest.approx(0.97, abs=0.01)
    assert after["feed"][-600:].mean() == pytest.approx(after["feed"][:300].mean(), rel=0.01)


def test_lockstep_runs_a_controller_without_losing_a_period(shop: Shop) -> None:
    shop.plant("lockstep")
    controller, _ = shop.controller()

    async def scenario() -> None:
        async with shop.operator() as desk:

            async def far_enough() -> bool:
                return (await desk.state())[2] >= 40

            await until("40 cycles", far_enough)
            names = [
                "PlantHeartbeat",
                "LineRunning",
                "RecipeModelAndUnitsAgree",
                "OperatorRoleAndReason",
            ]
            good = [f"Controller/Permissives/{n}/State" for n in names]
            assert await desk.read(good) == [True, True, True, False]
            (text, since) = await desk.read(
                [f"Controller/Permissives/OperatorRoleAndReason/{n}" for n in ("Text", "Since")]
            )
            assert text == "nobody has asked" and since is not None
            accepted, _ = await desk.request_target("throughput", 21.0, "a new order")
            assert accepted
            accepted, said = await desk.request_target("moisture", 1.0, "no such thing")
            assert not accepted and "has no target" in said

            async def shown() -> bool:
                (target,) = await desk.read(["Controller/Targets/throughput"])
                return abs(float(target) - 21.0) < 1e-9

            await until("the new target is shown", shown)

    asyncio.run(scenario())
    assert controller.stop() == 0
    history = History(sqlite_url(shop.run.historian))
    times = [s.time for s in history.summaries()]
    history.close()
    assert {b - a for a, b in itertools.pairwise(times)} == {PERIOD_S}


def test_an_operator_asks_for_modes_on_the_command_line(shop: Shop, tmp_path: Path) -> None:
    shop.plant("lockstep")
    shop.controller()
    runner = CliRunner()

    def ask(mode: str, *more: str, user: str = "operator") -> tuple[int, str]:
        options = ["--user", user, "--reason", "a test", "--run", str(shop.run.path), *more]
        result = runner.invoke(app, ["mode", mode, *options])
        return result.exit_code, result.output

    async def settled() -> None:
        async with shop.operator() as desk:

            async def monitoring() -> bool:
                return (await desk.state())[0] == Mode.MONITORING

            await until("monitoring", monitoring)

    asyncio.run(settled())
    assert ask("CLOSED_LOOP") == (1, "there is no way from MONITORING to CLOSED_LOOP\n")
    assert ask("advisory") == (0, "the mode is ADVISORY\n")
    assert ask("SIDEWAYS")[0] == 1
    code, said = ask("OFF", user="observer")
    assert code == 2 and "BadUserAccessDenied" in said
    wrong = tmp_path / "wrong.password"
    wrong.write_text("not the password")
    assert ask("OFF", "--password-file", str(wrong))[0] == 2
    wrong.chmod(0o600)
    code, said = ask("OFF", "--password-file", str(wrong))
    assert code == 2 and "denied" in said.lower()
    for text in (shop.run.path / "logs").glob("*"):
        assert shop.password("operator") not in text.read_text("utf-8")


def test_a_port_in_use_is_bad_input(shop: Shop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        child = start_plant(shop.run, shop.line, "--scenario", shop.calm, "--port", port)
        assert child.process.wait(30.0) == 2
    assert "address already in use" in child.last_words()


def test_a_child_does_not_outlive_its_parent(shop: Shop) -> None:
    """The plant stops by itself when the process that started it is gone."""
    script = (
        "import sys, os; from pathlib import Path; from tools.processes import start_plant;"
        "from tools.rundir import RunDir; run = RunDir(Path(sys.argv[1]));"
        "child = start_plant(run, Path(sys.argv[2]), '--scenario', sys.argv[3]);"
        "child.wait_listening(run); print(child.pid, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(shop.run.path), str(shop.line), str(shop.calm)],
        capture_output=True,
        text=True,
        check=False,
        cwd=shop.root,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 15.0
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shop.run.listening("plant") is None
