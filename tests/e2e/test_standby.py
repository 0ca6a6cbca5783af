"""An active controller and its standby as processes, with a plant that both of them have."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hil.tally import read_tally
from plant_models.signals import APC, PLC, PlcMode
from tests.e2e.conftest import Shop, close_the_loop, until
from tests.helpers.proxy import proxy_to
from tools.cli import app
from tools.people import ControllerDesk, at_controller
from tools.pki import ensure_pki, twinline_home
from tools.processes import Child, start_command, start_control
from tools.rundir import Listening

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("standby")]

SPEED = 10.0
PERIOD_S = 0.5  # of wall time


def settings(shop: Shop, standby: str) -> Path:
    """The shipped conventional controller, with settings of a standby."""
    shipped = shop.root / "configs" / "controllers" / "pid.yaml"
    line = os.path.relpath(shop.line, shop.run.path)
    text = shipped.read_text("utf-8").replace("../lines/reference.yaml", line)
    text = text.replace("  grant_cycles: 3\n", f"  grant_cycles: 3\n  standby: {standby}\n")
    assert standby in text
    file = shop.run.path / "pid.yaml"
    file.write_text(text, "utf-8")
    return file


def start_standby(shop: Shop, config: Path, active: Listening) -> tuple[Child, Listening]:
    arguments = ["control", config, "--run", shop.run.path, "--standby", active.endpoint]
    child = start_command("standby", arguments, shop.run)
    shop.children.append(child)
    return child, child.wait_listening(shop.run)


@asynccontextmanager
async def desk_at(shop: Shop, server: Listening) -> AsyncIterator[ControllerDesk]:
    me = ensure_pki(twinline_home())["operator"]
    async with at_controller(server.endpoint, me, "operator", shop.password("operator")) as desk:
        yield desk


async def stands_by(desk: ControllerDesk, mode: str) -> None:
    """Wait until the standby has seen the active controller in ``mode``."""

    async def seen() -> bool:
        shown = await desk.read([f"Controller/Standby/{n}" for n in ("Silent", "ActiveMode")])
        return shown == [True, mode]

    await until(f"the active controller is seen in {mode}", seen, 30.0)


def epochs(shop: Shop) -> list[int | None]:
    """Epochs in the order in which the plant accepted commands of them."""
    _, _, commands = read_tally(shop.run.path)
    taken = [c.epoch for c in commands if c.accepted]
    return [e for i, e in enumerate(taken) if i == 0 or taken[i - 1] != e]


def test_a_standby_takes_over_from_an_active_that_is_cut_off_and_healed(shop: Shop) -> None:
    """Automatic, as configured: the plant sheds after 15 s, the standby waits 20 s in all."""
    _, listening = shop.plant(f"{SPEED:g}")
    config = settings(
        shop, "{promotion: automatic, signed_by: operator, silent_s: 20, look_s: 0.2}"
    )

    async def scenario() -> None:
        async with proxy_to(listening.endpoint) as (proxy, through), shop.at_plant() as at_plant:
            child = start_control(shop.run, config, "--endpoint", through)
            shop.children.append(child)
            active = await asyncio.to_thread(child.wait_listening, shop.run)
            _, standby = await asyncio.to_thread(start_standby, shop, config, active)
            async with desk_at(shop, active) as ours, desk_at(shop, standby) as theirs:
                await close_the_loop(ours)
                await stands_by(theirs, "CLOSED_LOOP")
                assert (await theirs.state())[0] == "MONITORING"
                (first,) = await at_plant.read([APC.EPOCH])
                proxy.forwarding.clear()

                async def taken() -> bool:
                    mode, epoch = await at_plant.read([PLC.MODE_ACT, APC.EPOCH])
                    return bool(mode == PlcMode.CASCADE and epoch not in (0, first))

                took = await until("the standby takes over", taken, 30.0)
                assert took >= 2.0 - 2 * PERIOD_S
                assert (await ours.state())[0] == "SHED"
                proxy.forwarding.set()

                async def back() -> bool:
                    mode = (await theirs.state())[0]
                    return mode == "CLOSED_LOOP" and (await ours.state())[1] == "connected"

                await until("the first one is back", back, 30.0)
                refused, text = False, ""
                for mode in ("ADVISORY", "CLOSED_LOOP", "CLOSED_LOOP"):
                    refused, text = await ours.request_mode(mode, "wants its plant back")
                assert not refused
                assert "revoked" in text or "lease" in text or "cycles" in text
                assert (await theirs.state())[0] == "CLOSED_LOOP"
                (cause,) = await theirs.read(["Controller/Cause"])
                assert "operator" in cause and "automatic takeover" in cause

    asyncio.run(scenario())
    shop.stop()
    order = epochs(shop)
    assert len(order) == len(set(order)) == 2


@pytest.mark.slow
def test_an_operator_promotes_a_standby_that_has_written_nothing(shop: Shop) -> None:
    """The lease changes hands openly; until then every command is the active controller's."""
    shop.plant(f"{SPEED:g}")
    config = settings(shop, "{look_s: 0.2}")

    async def scenario() -> None:
        child = start_control(shop.run, config)
        shop.children.append(child)
        active = await asyncio.to_thread(child.wait_listening, shop.run)
        _, standby = await asyncio.to_thread(start_standby, shop, config, active)
        async with desk_at(shop, active) as ours, desk_at(shop, standby) as theirs:
            await close_the_loop(ours)
            await stands_by(theirs, "CLOSED_LOOP")
            accepted, _ = await ours.request_target("throughput", 20.5, "a new order")
            assert accepted

            async def followed() -> bool:
                (target,) = await theirs.read(["Controller/Targets/throughput"])
                return abs(float(target) - 20.5) < 1e-6

            await until("the target is followed", followed, 20.0)
            accepted, said = await theirs.request_target("throughput", 21.0, "not here")
            assert not accepted and "stands by" in said
            who = ["--user", "operator", "--reason", "service", "--run", str(shop.run.path)]
            answer = await asyncio.to_thread(
                CliRunner().invoke, app, ["mode", "ADVISORY", "--standby", *who]
            )
            assert answer.exit_code == 0, answer.stdout
            assert "no longer a standby" in " ".join(answer.stdout.split())
            assert (await ours.state())[0] == "CLOSED_LOOP"
            await close_the_loop(theirs)

            async def shed() -> bool:
                return (await ours.state())[0] == "SHED"

            await until("the first one sheds", shed, 10.0)

    asyncio.run(scenario())
    shop.stop()
    order = epochs(shop)
    assert len(order) == len(set(order)) == 2
    assert (shop.run.path / "standby.sqlite").is_file()
