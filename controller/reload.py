"""A controller goes on with another product set: what it keeps of its state, and what begins anew.

Cycle number, time, lease, frame counter, mode and alarms stay. Estimator, plan, targets, services,
advice and readiness are of the product before and begin anew; a model that ran in shadow goes on
with what it learnt there.
"""

from __future__ import annotations

from dataclasses import replace

from controller.cycle_data import CycleSetup, CycleState, initial_state
from controller.products.requests import loaded

__all__ = ["given_up", "product_change", "reloaded", "with_former"]


def reloaded(state: CycleState, setup: CycleSetup) -> CycleState:
    """The state to go on with.

    Parameters
    ----------
    state
        After the last cycle with the product before, in OFF or MONITORING.
    setup
        What the cycles run with from now on; it has a product set.
    """
    if setup.product is None:
        raise ValueError("a controller is reloaded with a product set")
    fresh = initial_state(setup, state.epoch)
    shadow = state.oversight.product.shadow
    learnt = shadow is not None and shadow.set_hash == setup.product.hash and not shadow.failed
    return replace(
        fresh,
        brain=shadow.brain if shadow is not None and learnt else fresh.brain,
        validation=state.validation if learnt else fresh.validation,
        cycle=state.cycle,
        time=state.time,
        scan_id=state.scan_id,
        heartbeat=state.heartbeat,
        sequence=state.sequence,
        supervision=replace(state.supervision, pending=None, permissives={}),
        oversight=replace(
            fresh.oversight,
            alarms=state.oversight.alarms,
            product=loaded(state.oversight.product, setup.product.hash),
        ),
    )


def product_change(state: CycleState, setup: CycleSetup) -> str:
    """Hash of the set that has to be made ready before the next cycle, or nothing."""
    products = state.oversight.product
    if products.order:
        return products.order
    ready = "" if setup.shadow is None else setup.shadow.set_hash
    return products.wanted_shadow if products.wanted_shadow != ready else ""


def given_up(state: CycleState) -> CycleState:
    """The state to go on with where a set that was ordered cannot be made ready."""
    products = replace(state.oversight.product, order="", wanted_shadow="")
    return replace(state, oversight=replace(state.oversight, product=products))


def with_former(state: CycleState, former: tuple[str, ...]) -> CycleState:
    """The state of a start in a run in which the sets ``former`` were in force before."""
    products = replace(state.oversight.product, former=former)
    return replace(state, oversight=replace(state.oversight, product=products))
