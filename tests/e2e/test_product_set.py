"""The plant and the controller must have loaded the same product set, or nothing is closed."""

import asyncio

import pytest

from plant_models.signals import PLC
from tests.e2e.conftest import Shop, close_the_loop, until
from tools.configuration import load_product_set
from tools.processes import start_control

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("product-set")]


def test_the_loop_closes_only_when_the_plant_shows_the_set_of_the_controller(shop: Shop) -> None:
    """First a plant with a recipe but no set, then the same one with the set."""
    file = shop.root / "configs/product_sets/reference_tablet.yaml"
    wanted = load_product_set(file).recipe_id
    config = shop.root / "configs/controllers/pid.yaml"
    plant, listening = shop.plant("10")
    child = start_control(shop.run, config, "--product-set", file)
    shop.children.append(child)
    child.wait_listening(shop.run)

    async def scenario() -> None:
        async with shop.operator() as desk:
            await desk.request_mode("ADVISORY", "test of the set")
            said = ""

            async def only_the_set_is_missing() -> bool:
                nonlocal said
                accepted, said = await desk.request_mode("CLOSED_LOOP", "test of the set")
                assert not accepted
                return "enough" not in said and "cycles" not in said

            await until("the line is ready", only_the_set_is_missing, 60.0)
            assert f"recipe REF-200-01 in the plant, {wanted} here" in said
            assert (await desk.state())[0] == "ADVISORY"
            plant.kill()
            port = listening.endpoint.rpartition(":")[2].partition("/")[0]
            shop.plant("10", "--port", port, "--product-set", file)
            async with shop.at_plant() as plc:
                assert (await plc.read([PLC.RECIPE_ID])) == [wanted]
            await close_the_loop(desk)

    asyncio.run(scenario())
