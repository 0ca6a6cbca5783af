"""A plant that loads another recipe while we are connected: its ranges are compared again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua

from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC, SignalTable
from tests.helpers.site import Run, SharedSite, Site
from tools.configuration import load_product_set

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("recipe-ranges")]


@pytest.fixture(scope="module")
def on_site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    shared = SharedSite(root, tmp_path_factory.mktemp("home"))
    yield shared.run
    shared.close()


@pytest.fixture
def other(root: Path) -> SignalTable:
    made = load_product_set(root / "configs/product_sets/half_strength_tablet.yaml")
    return signal_table(made.line.line)


async def load(site: Site, table: SignalTable) -> None:
    """The plant has another recipe; the call makes its server publish."""
    site.plant.table, site.plant.version = table, table.model_version()
    text = ua.VariantType.String
    words = [ua.Variant(word, text) for word in ("B", "dry", "order 12")]
    async with site.client("operator") as client:
        index = await client.get_namespace_index("urn:twinline:plant")
        plc = client.get_node(ua.NodeId("Line/PLC", index))
        method = ua.NodeId(PLC.LOAD_RECIPE, index)
        assert await plc.call_method(method, *words) == "done"


def test_what_disagrees_and_agrees_again_is_known_without_a_new_connection(
    on_site: Run, other: SignalTable
) -> None:
    async def scenario(site: Site) -> None:
        first, link = site.plant.table, site.link()
        await link.connect()
        await link.read()
        assert link.disagreements == ()
        await load(site, other)
        await link.read()
        named = {text.partition(":")[0] for text in link.disagreements}
        assert PLC.MODEL_VERSION in named and f"{MV.API_RATIO}/REQ" in named
        ranges = {
            s.tag
            for s, o in zip(first, other, strict=True)
            if (s.lo, s.hi) != (o.lo, o.hi) and s.lo is not None
        }
        assert named == ranges | {PLC.MODEL_VERSION}
        await load(site, first)
        await link.read()
        assert link.disagreements == ()
        assert link.connections == 1
        await link.drop()

    on_site(scenario)


def test_a_controller_that_has_the_recipe_first_agrees_once_the_plant_has_it_too(
    on_site: Run, other: SignalTable
) -> None:
    async def scenario(site: Site) -> None:
        first, link = site.plant.table, site.link(table=other)
        await link.connect()
        await link.read()
        assert link.disagreements
        await load(site, other)
        await link.read()
        assert link.disagreements == ()
        await load(site, first)
        await link.drop()

    on_site(scenario)
