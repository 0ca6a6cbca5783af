"""A candidate model is promoted over OPC UA: shadowed, compared, refused, granted, bound anew.

In lock-step, so that nothing depends on how fast the computer is. The laboratory is quicker here
than on the shipped line, so that few minutes of plant time are enough.
"""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.products.sets import ProductSet
from controller.records.audit import read_audit
from controller.records.historian import History, sqlite_url
from hil.plant import Plant
from plant_models.signals import PLC
from tests.e2e.conftest import WARM_S, Shop, close_the_loop, until
from tools.configuration import load_product_set, load_scenario
from tools.people import ControllerDesk, PersonRefused
from tools.processes import Child, start_control, start_plant

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.xdist_group("product-promotion"),
]

WAIT_S = 120.0
WHY = "change 7"
SHADOW = "Controller/Product/Shadow"

# What makes a model that hardly learns from the press, and one that does not heed the laboratory.
STIFF = {
    "prior_sd: {compliance: 0.36}": "prior_sd: {compliance: 0.36, specific_volume: 1.0e-4, "
    "pressure_scale: 1.0e-4, strength: 1.0e-4}",
    "[specific_volume, 4.0e-3]": "[specific_volume, 1.0e-9]",
    "[pressure_scale, 1.0e-3]": "[pressure_scale, 1.0e-9]",
    "[strength, 2.0e-4]": "[strength, 1.0e-9]",
}
DEAF = {
    "lab_thickness_sd_um: 12": "lab_thickness_sd_um: 400\n  lab_weight_sd: 1.0\n"
    "  lab_strength_sd: 1.0"
}
QUICK_LAB = {"lab_period_s: 300": "lab_period_s: 60", "lab_delay_s: 120": "lab_delay_s: 30"}
EASY = {
    "  grant_cycles: 3\n": "  grant_cycles: 3\n"
    "  products: {run_in_samples: 1, least_cycles: 24, least_samples: 4}\n"
}


@dataclass
class Sets:
    """Configurations of the test: a set in force, one with a better model, one with a worse."""

    folder: Path

    @property
    def controller(self) -> Path:
        return self.folder / "controllers/stiff.yaml"

    def file(self, name: str) -> Path:
        return self.folder / f"product_sets/{name}.yaml"

    def made(self, name: str) -> ProductSet:
        return load_product_set(self.file(name))


def edited(text: str, *changes: dict[str, str]) -> str:
    for change in changes:
        for old, new in change.items():
            assert old in text, old
            text = text.replace(old, new)
    return text


@pytest.fixture
def sets(shop: Shop, tmp_path: Path) -> Sets:
    """Versions 1 (in force), 2 (the shipped model) and 3 (worse than 1) of the reference tablet."""
    made = Sets(tmp_path / "configs")
    shutil.copytree(shop.root / "configs", made.folder)
    line = made.folder / "lines/reference.yaml"
    line.write_text(edited(line.read_text("utf-8"), QUICK_LAB), "utf-8")
    shipped = (made.folder / "controllers/lmpc.yaml").read_text("utf-8")
    for name, changes in (("better", ()), ("stiff", (STIFF,)), ("worse", (STIFF, DEAF))):
        file = made.folder / f"controllers/{name}.yaml"
        file.write_text(edited(shipped, EASY, *changes), "utf-8")
    text = made.file("reference_tablet").read_text("utf-8")
    listed = text[text.index("controllers:") : text.index("tooling:")]
    for old in (made.folder / "product_sets").iterdir():
        old.unlink()
    for version, name in enumerate(("stiff", "better", "worse"), start=1):
        own = {
            listed: f"controllers:\n  - ../controllers/{name}.yaml\n",
            "version: 1\n": f"version: {version}\n",
        }
        made.file(name).write_text(edited(text, own), "utf-8")
    return made


def warm_up(shop: Shop, sets: Sets) -> None:
    """A plant with the quick laboratory that runs, in place of the shop's."""
    shutil.rmtree(shop.run.path / "logs", ignore_errors=True)
    for file in shop.run.path.iterdir():
        if file.is_file():
            file.unlink()
    line = sets.made("stiff").line
    scenario = load_scenario(shop.calm)
    plant = Plant(line, scenario, seed=1, start_time=1_767_225_600.0, run_dir=shop.run.path)
    plant.advance(WARM_S)
    plant.save()


def start_line(shop: Shop, sets: Sets, *options: str) -> Child:
    """The plant as its service starts it: with the set of the beginning."""
    given = ("--speed", "lockstep", "--scenario", shop.calm, "--product-set", sets.file("stiff"))
    child = start_plant(shop.run, sets.folder / "lines/reference.yaml", *given, *options)
    shop.children.append(child)
    return child


def start(shop: Shop, sets: Sets) -> Child:
    """The controller as its service starts it: with the set of the beginning."""
    child = start_control(shop.run, sets.controller, "--product-set", sets.file("stiff"))
    shop.children.append(child)
    child.wait_listening(shop.run)
    return child


async def figures(desk: ControllerDesk) -> dict[str, float]:
    names = [
        f"{variable}/{figure}{model}"
        for variable in ("tablet_weight", "tensile_strength")
        for figure in ("Error", "Bias", "Coverage")
        for model in ("Active", "Candidate")
    ]
    values = await desk.read([f"{SHADOW}/{name}" for name in names])
    return dict(zip(names, values, strict=True))


async def shadowed(shop: Shop, candidate: ProductSet, verdict: str) -> dict[str, float]:
    """The figures of a candidate once the controller's server shows this verdict."""
    shown: dict[str, float] = {}

    async def said() -> bool:
        nonlocal shown
        await asyncio.sleep(0.2)
        try:
            async with shop.operator() as desk:
                found, text = await desk.read([f"{SHADOW}/Hash", f"{SHADOW}/Verdict"])
                shown = await figures(desk)
        except (OSError, PersonRefused):
            return False  # between two runtimes nobody listens
        return found == candidate.hash and verdict in str(text)

    await until(f"{candidate.label}: {verdict}", said, WAIT_S)
    return shown


def observed_for_too_short(said: str) -> bool:
    """Cycles, samples or the first convergence are missing."""
    return " of " in said or "has not converged within" in said


async def first_answer(shop: Shop, candidate: ProductSet) -> str:
    """What quality is told that asks as soon as the controller is back with the candidate."""
    said = ""

    async def answered() -> bool:
        nonlocal said
        try:
            accepted, said = await shop.ask("quality", "PromoteModel", candidate.hash, WHY)
        except (OSError, PersonRefused):
            return False
        assert not accepted
        return "does not run in shadow" not in said

    await until("somebody answers", answered, WAIT_S)
    return said


async def denied(shop: Shop, user: str, method: str, *words: str) -> None:
    """The server lets nobody of this role call."""
    with pytest.raises(PersonRefused, match="BadUserAccessDenied"):
        await shop.ask(user, method, *words)


def test_a_better_model_takes_over_and_only_it(shop: Shop, sets: Sets) -> None:
    """From the first refusal to a restart that comes up with the promoted set."""
    warm_up(shop, sets)
    active, better, worse = (sets.made(n) for n in ("stiff", "better", "worse"))
    plant = start_line(shop, sets)
    listening = plant.wait_listening(shop.run)
    child = start(shop, sets)

    async def scenario() -> None:
        async with shop.at_plant() as plc:
            assert await plc.read([PLC.RECIPE_ID]) == [active.recipe_id]
            assert await shop.ask("quality", "LoadProduct", better.hash, WHY) == (
                False,
                f"{better.label} is the same product with another model: let it shadow first",
            )
            assert await shop.ask("quality", "PromoteModel", better.hash, WHY) == (
                False,
                f"{better.label} does not run in shadow",
            )
            await denied(shop, "operator", "ShadowModel", better.hash, WHY)

            # a model that is not better
            assert (await shop.ask("engineer", "ShadowModel", worse.hash, WHY))[0]
            said = await first_answer(shop, worse)
            assert observed_for_too_short(said)
            shown = await shadowed(shop, worse, "(not better or equal)")
            assert shown["tablet_weight/ErrorCandidate"] > shown["tablet_weight/ErrorActive"]
            accepted, said = await shop.ask("quality", "PromoteModel", worse.hash, WHY)
            assert not accepted and "(not better or equal)" in said
            assert (await shop.ask("engineer", "DropShadow", WHY))[0]

            # a better one, which goes on in shadow when the loop is closed
            assert (await shop.ask("engineer", "ShadowModel", better.hash, WHY))[0]
            shown = await shadowed(shop, better, "(better or equal)")
            for name in ("tablet_weight", "tensile_strength"):
                assert shown[f"{name}/ErrorCandidate"] < shown[f"{name}/ErrorActive"]
            async with shop.operator() as desk:
                await close_the_loop(desk)
            accepted, said = await shop.ask("quality", "PromoteModel", better.hash, WHY)
            assert not accepted
            assert said.endswith("only in MONITORING or OFF, not in CLOSED_LOOP")
            for user in ("operator", "engineer"):
                await denied(shop, user, "PromoteModel", better.hash, WHY)
            async with shop.operator() as desk:
                assert (await desk.request_mode("MONITORING", WHY))[0]
            assert await shop.ask("quality", "PromoteModel", better.hash, WHY) == (
                True,
                f"{better.label} is being loaded",
            )
            await until("it is in force", lambda: shop.bound_to(better.hash), WAIT_S)

            # the PLC has to be bound anew before the loop closes again
            async with shop.operator() as desk:
                shown_set = await desk.read(
                    [
                        f"Controller/{n}"
                        for n in ("Product/Version", "Product/RecipeIdWanted", "Mode")
                    ]
                )
                assert shown_set == [2, better.recipe_id, "MONITORING"]
                assert await desk.read([f"{SHADOW}/Hash"]) == [None]
                # it goes on with what it learnt in shadow
                assert await desk.read(["Controller/Estimates/Converged"]) == [True]
                assert (await desk.request_mode("ADVISORY", WHY))[0]
                text = f"recipe {active.recipe_id} in the plant, {better.recipe_id} here"

                async def only_the_recipe_is_missing() -> bool:
                    accepted, said = await desk.request_mode("CLOSED_LOOP", WHY)
                    assert not accepted
                    return "cycles" not in said and text in said

                await until("the loop is refused for the recipe", only_the_recipe_is_missing, 60.0)
                (running,) = await plc.read([PLC.LINE_STATE])
                assert running == "running"
                assert await plc.load_recipe(better.recipe_id, "", WHY) == "done"
                await close_the_loop(desk)
                assert await plc.read([PLC.RECIPE_ID, PLC.MODE_ACT]) == [
                    better.recipe_id,
                    "CASCADE",
                ]

    async def restarted() -> None:
        """Both are started as they were the first time, and have what was promoted."""
        await until("it comes up with it", lambda: shop.bound_to(better.hash), WAIT_S)
        async with shop.operator() as desk:
            await close_the_loop(desk)
            assert (await desk.request_mode("MONITORING", WHY))[0]
        plant.kill()
        port = listening.endpoint.rpartition(":")[2].partition("/")[0]
        again = start_line(shop, sets, "--port", port)
        await asyncio.to_thread(again.wait_listening, shop.run)
        async with shop.at_plant() as plc:
            assert await plc.read([PLC.RECIPE_ID]) == [better.recipe_id]
        # what was in force before may come back without a shadow
        assert (await shop.ask("quality", "LoadProduct", active.hash, WHY))[0]
        await until("version 1 is in force again", lambda: shop.bound_to(active.hash), WAIT_S)

    asyncio.run(scenario())
    child.kill()
    start(shop, sets)
    asyncio.run(restarted())
    shop.stop()
    check_records(shop, active, better, worse)


def check_records(shop: Shop, active: ProductSet, better: ProductSet, worse: ProductSet) -> None:
    """Everything that was asked, answered and found is on record."""
    bound = json.loads((shop.run.path / "product_set.json").read_text("utf-8"))
    assert (bound["hash"], bound["former"]) == (active.hash, [better.hash])
    history = History(sqlite_url(shop.run.historian))
    events = [(e["who"], e["text"]) for e in history.events() if e["kind"] == "product"]
    loaded = f"promote {better.hash} ({WHY}): {better.label} is being loaded"
    assert ("quality", loaded) in events
    refused = [text for who, text in events if text.startswith("promote") and text != loaded]
    for why in ("does not run in shadow", "(not better or equal)", "not in CLOSED_LOOP"):
        assert any(why in text for text in refused), why
    assert any(observed_for_too_short(text) for text in refused)
    assert [text.split()[:2] for who, text in events if who == "engineer"] == [
        ["shadow", worse.hash],
        ["drop", f"({WHY.split()[0]}"],
        ["shadow", better.hash],
    ]
    sets = [history.facts(start)["hashes"]["product_set"] for start in history.starts()]
    assert sets == [active.hash] * 3 + [better.hash] * 2 + [active.hash]
    tuning = [history.facts(start)["configuration"]["lmpc"]["walk"] for start in history.starts()]
    assert tuning[0] != tuning[3] == tuning[4]
    (*_, last) = history.records(3)
    assert last.extra["shadow"]["set"] == better.hash
    assert last.extra["shadow"]["verdict"][0] is True
    asked = [e for e in read_audit(sqlite_url(shop.run.historian)) if "PromoteModel" in e.what]
    assert {e.role for e in asked if e.accepted} == {"quality"}
    assert [e.answer for e in asked if e.accepted] == [f"{better.label} is being loaded"]
    log = (shop.run.path / "logs" / "plant.log").read_text("utf-8")
    assert f"LoadRecipe('{better.recipe_id}', '', '{WHY}') by operator: done" in log
