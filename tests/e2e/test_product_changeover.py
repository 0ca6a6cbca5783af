"""From one product to the next over OPC UA: one plant, one controller, people at their desks.

In lock-step, so that nothing depends on how fast the computer is.
"""

import asyncio

import numpy as np
import pytest

from controller.records.historian import History, sqlite_url
from hil.tally import Fate, read_tally
from plant_models.signals import MV, PLC
from tests.e2e.conftest import Shop, close_the_loop, until
from tools.configuration import load_product_set
from tools.people import PlantDesk
from tools.processes import start_control

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("product-changeover")]

WAIT_S = 120.0
WHY = "order 12"
AGREEMENT, PRODUCT = (
    f"Controller/Permissives/{name}" for name in ("RecipeModelAndUnitsAgree", "ProductSetBound")
)


async def shown(desk: PlantDesk, tag: str) -> object:
    (value,) = await desk.read([tag])
    return value


async def waits_for(desk: PlantDesk, tag: str, wanted: object) -> None:
    async def so() -> bool:
        await asyncio.sleep(0.1)  # the computer has better to do than to answer
        return await shown(desk, tag) == wanted

    await until(f"{tag} is {wanted}", so, WAIT_S)


def test_from_one_product_to_the_next_while_plant_and_controller_run(shop: Shop) -> None:
    """Run down, clear, load in the PLC and in the controller, start, prove, close the loop."""
    folder = shop.root / "configs/product_sets"
    first, second = (folder / f"{n}_tablet.yaml" for n in ("reference", "half_strength"))
    a, b = load_product_set(first), load_product_set(second)
    plant, _ = shop.plant("lockstep", "--product-set", first)
    config = shop.root / "configs/controllers/pid.yaml"
    child = start_control(shop.run, config, "--product-set", first)
    shop.children.append(child)
    child.wait_listening(shop.run)

    async def scenario() -> int:
        async with shop.at_plant() as plc:
            async with shop.operator() as desk:
                await close_the_loop(desk)
                refused = await plc.load_recipe(b.recipe_id, "dry", WHY)
                assert refused == "the PLC is in CASCADE: a recipe is loaded in LOCAL"
                await desk.request_mode("MONITORING", WHY)
                await waits_for(plc, PLC.MODE_ACT, "LOCAL")
                refused = await plc.load_recipe(b.recipe_id, "dry", WHY)
                assert refused.startswith("the line is running: other parameters are loaded while")
                assert await plc.line_command("stop", WHY) == "done"
                await waits_for(plc, PLC.LINE_STATE, "stopped")
                refused = await plc.load_recipe(b.recipe_id, "dry", WHY)
                assert refused.startswith("the line is stopped")
                assert await plc.line_command("clear", WHY) == "done"
                assert await plc.load_recipe(b.recipe_id, "magic", WHY) != "done"
                assert await shown(plc, PLC.RECIPE_ID) == a.recipe_id
                assert await plc.load_recipe(b.recipe_id, "dry", WHY) == "done"
                loaded_at = await shown(plc, PLC.HB)
                assert isinstance(loaded_at, int)
                assert await shown(plc, PLC.RECIPE_ID) == b.recipe_id
                assert await shown(plc, f"{MV.API_RATIO}/HI") == pytest.approx(5.25)

                async def noticed() -> bool:
                    states = await desk.read([f"{AGREEMENT}/State", f"{PRODUCT}/State"])
                    return states == [False, False]

                await until("the controller sees another recipe", noticed, WAIT_S)
            answer = await shop.ask("quality", "LoadProduct", b.hash, WHY)
            assert answer == (True, f"{b.label} is being loaded")
            await until(
                "the controller has the second product", lambda: shop.bound_to(b.hash), WAIT_S
            )
            assert child.running and plant.running
            async with shop.operator() as desk:

                async def agreed() -> bool:
                    states = await desk.read([f"{AGREEMENT}/State", f"{PRODUCT}/State"])
                    return states == [True, True]

                await until("both have the second product", agreed, WAIT_S)
                assert await plc.line_command("start", WHY) == "done"
                await waits_for(plc, PLC.LINE_STATE, "running")
                await waits_for(plc, PLC.DIVERTER, "collect")
                await close_the_loop(desk)
                assert await shown(plc, PLC.MODE_ACT) == "CASCADE"
                mode, link, *_ = await desk.state()
                assert (mode, link) == ("CLOSED_LOOP", "connected")
            return loaded_at

    loaded_at = asyncio.run(scenario())
    assert child.running and plant.running  # the processes of the beginning
    shop.stop()
    seconds, tablets, commands = read_tally(shop.run.path)
    released = tablets[tablets["fate"] == Fate.RELEASED]
    before, after = (
        released[released["second"] <= loaded_at],
        released[released["second"] > loaded_at],
    )
    assert min(before.size, after.size) > 1000
    assert np.median(before["weight"]) == pytest.approx(200e-6, rel=0.03)
    assert np.median(after["weight"]) == pytest.approx(180e-6, rel=0.03)
    foreign = seconds["foreign"]
    assert foreign.max() > 0.01  # so that there is something to divert
    held = np.isin(seconds["second"], np.unique(after["second"]))
    assert foreign[held].max() <= b.config.carry_over_max_percent / 100.0
    assert {c.cause for c in commands} == {""}
    assert any(c.second > loaded_at for c in commands)
    log = (shop.run.path / "logs" / "plant.log").read_text("utf-8")
    assert f"LoadRecipe('{b.recipe_id}', 'dry', '{WHY}') by operator: done" in log
    assert "by operator: the line is running: other parameters" in log
    history = History(sqlite_url(shop.run.historian))
    loads = [(e["who"], e["text"]) for e in history.events() if e["kind"] == "product"]
    assert loads == [("quality", f"load {b.hash} ({WHY}): {b.label} is being loaded")]
    facts = [history.facts(start)["hashes"]["product_set"] for start in history.starts()]
    assert facts == [a.hash, b.hash]
