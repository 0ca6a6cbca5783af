"""What a controller keeps when it goes on with another product set, and when it has to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.algorithms import make_brain
from controller.cycle_data import CycleSetup, CycleState, make_setup
from controller.data import CV, Mode
from controller.products.requests import ProductState
from controller.products.sets import ProductSet
from controller.products.shadow import ShadowState
from controller.products.watch import Candidate
from controller.reload import given_up, product_change, reloaded, with_former
from controller.targets import product_targets
from plant_models.signal_list import signal_table
from tests.controller.kit import Loop, controller_config
from tools.configuration import load_product_set


def _set(name: str) -> ProductSet:
    return load_product_set(Path(__file__).parents[2] / f"configs/product_sets/{name}.yaml")


def _setup(made: ProductSet) -> CycleSetup:
    config, table = controller_config("pid"), signal_table(made.line.line)
    brain = make_brain(config, made.line, table, None)
    return make_setup(config, made.line, table, brain, product_targets(made.line), product=made)


def _after(**products: object) -> CycleState:
    """A controller after some cycles, its product state changed."""
    loop = Loop()
    loop.cycles(5)
    product = replace(ProductState(active="a"), **products)
    return replace(loop.state, oversight=replace(loop.state.oversight, product=product))


def test_what_is_kept_and_what_begins_anew() -> None:
    made = _set("half_strength_tablet")
    setup, state = _setup(made), _after(order=made.hash)
    after = reloaded(state, setup)
    for name in ("cycle", "time", "scan_id", "heartbeat", "epoch", "sequence"):
        assert getattr(after, name) == getattr(state, name), name
    assert after.mode is Mode.MONITORING
    assert after.oversight.alarms == state.oversight.alarms
    assert after.supervision.permissives == {}
    assert after.brain == setup.brain.initial()
    assert (after.last_plan, after.last_estimate, after.last_command) == (None, None, None)
    assert after.targets.set_points[CV.TABLET_WEIGHT] == pytest.approx(180e-6)
    assert after.oversight.product == ProductState(active=made.hash, former=("a",))


def test_a_promoted_model_goes_on_with_what_it_learnt_in_shadow() -> None:
    made = _set("half_strength_tablet")
    setup = _setup(made)
    learnt = replace(setup.brain.initial(), surplus=0.25)
    for shadow_hash, failed, kept in ((made.hash, "", True), ("x", "", False), (made.hash, "f", 0)):
        shadow = ShadowState(set_hash=shadow_hash, brain=learnt, since=0.0, failed=failed)
        state = _after(order=made.hash, shadow=shadow)
        after = reloaded(state, setup)
        assert (after.brain == learnt) == bool(kept)
        assert (after.validation == state.validation) == bool(kept)  # no sample counts twice
        assert after.oversight.product.shadow is None


def test_a_start_in_a_run_knows_what_was_in_force_before() -> None:
    state = with_former(_after(), ("b", "c"))
    assert state.oversight.product == ProductState(active="a", former=("b", "c"))


def test_without_a_set_there_is_nothing_to_reload() -> None:
    with pytest.raises(ValueError, match="with a product set"):
        reloaded(_after(), Loop().setup)


def test_an_order_or_a_wanted_shadow_is_a_change_until_it_is_ready() -> None:
    setup = Loop().setup
    assert product_change(_after(), setup) == ""
    assert product_change(_after(order="b"), setup) == "b"
    wanted = _after(wanted_shadow="c")
    assert product_change(wanted, setup) == "c"
    assert product_change(wanted, replace(setup, shadow=Candidate("d", setup.brain))) == "c"
    assert product_change(wanted, replace(setup, shadow=Candidate("c", setup.brain))) == ""


@pytest.mark.parametrize("open_", [{"order": "b"}, {"wanted_shadow": "c"}])
def test_what_cannot_be_made_ready_is_given_up_and_nothing_else(open_: dict[str, str]) -> None:
    shadow = ShadowState(set_hash="x", brain=None, since=0.0)
    state = _after(shadow=shadow, **open_)
    after = given_up(state)
    assert product_change(after, Loop().setup) == ""
    assert after.oversight.product == ProductState(active="a", shadow=shadow)
    assert replace(after, oversight=state.oversight) == state


def test_a_candidate_of_the_setup_starts_with_the_next_cycle_and_its_record_says_so() -> None:
    loop = Loop()
    loop.setup = replace(loop.setup, shadow=Candidate("c", loop.setup.brain))
    product = ProductState(active="a", wanted_shadow="c")
    loop.state = replace(loop.state, oversight=replace(loop.state.oversight, product=product))
    assert loop.cycle().record.extra["shadow"]["run_in"] == 1
    assert loop.cycles(4).record.extra["shadow"]["run_in"] == 5
    assert loop.state.oversight.product.wanted_shadow == ""
    assert "shadow" not in Loop().cycle().record.extra
