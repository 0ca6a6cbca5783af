"""The plant and the controller must have loaded the same product set, or nothing is closed."""

import asyncio
import shutil
from pathlib import Path

import pytest

from plant_models.signals import PLC
from tests.e2e.conftest import Shop, close_the_loop, until
from tools.configuration import load_product_set
from tools.people import PersonRefused
from tools.processes import start_control

WHY = "order 12"

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


@pytest.mark.slow
def test_a_set_is_loaded_and_a_candidate_shadows_while_the_controller_runs(
    shop: Shop, tmp_path: Path
) -> None:
    """Over OPC UA: another product and back, then another tuning that has not yet proven itself."""
    configs = tmp_path / "configs"
    shutil.copytree(shop.root / "configs", configs)
    pid = configs / "controllers/pid.yaml"
    tuned = pid.read_text("utf-8").replace("weight_gain: 0.3", "weight_gain: 0.2")
    (configs / "controllers/pid_2.yaml").write_text(tuned, "utf-8")
    file = configs / "product_sets/reference_tablet.yaml"
    second = configs / "product_sets/second.yaml"
    text = file.read_text("utf-8").replace("version: 1", "version: 2")
    second.write_text(text.replace("controllers/pid.yaml", "controllers/pid_2.yaml"), "utf-8")
    first, half, candidate = (
        load_product_set(f)
        for f in (file, configs / "product_sets/half_strength_tablet.yaml", second)
    )
    shop.plant("10", "--product-set", shop.root / "configs/product_sets/reference_tablet.yaml")
    child = start_control(shop.run, pid, "--product-set", file)
    shop.children.append(child)
    child.wait_listening(shop.run)

    async def scenario() -> None:
        assert await shop.ask("quality", "LoadProduct", half.hash, WHY) == (
            True,
            f"{half.label} is being loaded",
        )
        await until("the other set is in force", lambda: shop.bound_to(half.hash), 60.0)
        assert (await shop.ask("quality", "LoadProduct", first.hash, WHY))[0]
        await until("the first set is in force again", lambda: shop.bound_to(first.hash), 60.0)
        accepted, said = await shop.ask("quality", "LoadProduct", candidate.hash, WHY)
        assert not accepted and "let it shadow first" in said
        assert (await shop.ask("engineer", "ShadowModel", candidate.hash, WHY))[0]
        await until("the controller is back", lambda: shop.bound_to(first.hash), 60.0)

        async def it_runs() -> bool:
            try:
                accepted, said = await shop.ask("quality", "PromoteModel", candidate.hash, WHY)
            except (OSError, PersonRefused):
                return False
            assert not accepted
            return said == "it has learnt from 0 of 2 samples"

        await until("the candidate runs in shadow", it_runs, 60.0)
        assert (await shop.ask("engineer", "DropShadow", WHY))[0]
        async with shop.operator() as desk:
            await close_the_loop(desk)
        accepted, said = await shop.ask("quality", "LoadProduct", half.hash, WHY)
        assert not accepted and said.endswith("only in MONITORING or OFF, not in CLOSED_LOOP")

    asyncio.run(scenario())
