"""Advice between processes: a person lists, holds, rejects and accepts it, and the PLC obeys him.

The controller calls ``OperatorSet`` by a second, secured session of an operator's account; the
plant stays in LOCAL and nobody holds a lease.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from controller.records.historian import History, sqlite_url
from plant_models.signals import APC, PLC
from tests.e2e.conftest import Shop, until
from tools.cli import app
from tools.people import ControllerDesk
from tools.processes import start_control

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("two-processes")]

SPEED = 5.0
ADVICE = (
    "  advice: {accept: operator_set, expiry_cycles: 24, hold_max_s: 180, dead_band_steps: 0.05}"
)


def _config(shop: Shop, folder: Path) -> Path:
    """Conventional control whose accepted advice goes to the PLC."""
    shipped = shop.root / "configs/controllers/pid.yaml"
    lines = os.path.relpath(shop.root / "configs/lines", folder)
    text = shipped.read_text("utf-8").replace("../lines/", f"{lines}/")
    made = folder / "advising.yaml"
    made.write_text(text.replace("\nsupervision:\n", f"\nsupervision:\n{ADVICE}\n"), "utf-8")
    assert ADVICE in made.read_text("utf-8")
    return made


def _says(shop: Shop, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        app, [*words, "--user", "operator", "--run", str(shop.run.path)]
    )


async def _two(desk: ControllerDesk) -> list[dict[str, Any]]:
    """The first two pieces of advice, once an order would be let through."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await desk.advice()
        (healthy,) = await desk.read(["Controller/Permissives/SolverHealthy/State"])
        return len(found) >= 2 and bool(healthy)

    await until("two moves are advised", there, 60.0)
    return found


async def _held(desk: ControllerDesk) -> list[dict[str, Any]]:
    """Two pieces of advice, held; one that lapses before it is held is replaced by the next."""
    held: dict[int, dict[str, Any]] = {}
    for _ in range(10):
        for item in await _two(desk):
            accepted, text = await desk.answer_advice("hold", item["id"], "reading it")
            assert accepted or "not there any more" in text, text
            if accepted:
                held[item["id"]] = item
            if len(held) == 2:
                return list(held.values())
    raise AssertionError(f"only {len(held)} held")


def test_a_person_lists_holds_rejects_and_accepts_advice(shop: Shop, tmp_path: Path) -> None:
    shop.plant(f"{SPEED:g}")
    child = start_control(shop.run, _config(shop, tmp_path))
    shop.children.append(child)
    child.wait_listening(shop.run)

    async def scenario() -> None:
        async with shop.operator() as desk, shop.at_plant() as plant:
            accepted, text = await desk.request_mode("ADVISORY", "test of advice")
            assert accepted, text
            one, two = await _held(desk)
            listed = await asyncio.to_thread(_says, shop, "advice", "list")
            assert listed.exit_code == 0, listed.output
            assert one["text"] in listed.stdout and "held by operator" in listed.stdout

            why = ("--reason", "as the samples say")
            number = str(one["id"])
            done = await asyncio.to_thread(_says, shop, "advice", "accept", number, *why)
            assert done.exit_code == 0, done.output
            assert "done" in done.stdout
            await until("the set point is in use", lambda: _is(plant, one), 20.0)

            gone = await asyncio.to_thread(_says, shop, "advice", "accept", number, *why)
            assert (gone.exit_code, "not there any more" in gone.stdout) == (1, True)
            left = await asyncio.to_thread(_says, shop, "advice", "reject", str(two["id"]), *why)
            assert left.exit_code == 0, left.output
            assert two["mv"] not in [a["mv"] for a in await desk.advice()]

            ready = await asyncio.to_thread(_says, shop, "readiness")
            assert ready.exit_code == 1, ready.output
            assert "cycles in ADVISORY" in ready.stdout and "not ready" in ready.stdout

            values = await plant.read([PLC.MODE_ACT, APC.EPOCH, APC.SEQ_HEAD, PLC.REJECTED_COUNT])
            assert values == ["LOCAL", 0, 0, 0]

    asyncio.run(scenario())
    shop.stop()
    history = History(sqlite_url(shop.run.historian))
    try:
        orders = [o for r in history.records(history.starts()[-1]) for o in r.extra["orders"]]
    finally:
        history.close()
    assert len(orders) == 1 and "advice" in orders[0] and "as the samples say" in orders[0]


async def _is(plant: Any, advice: dict[str, Any]) -> bool:
    (value,) = await plant.read([f"{advice['mv']}/ACT"])
    return bool(abs(value - advice["value"]) <= 1e-6 * abs(advice["value"]))
