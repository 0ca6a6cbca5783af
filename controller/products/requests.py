"""Requests about products and models: load another product, shadow a candidate, promote it.

Only in OFF or MONITORING, by the roles of `controller.supervision.roles`. A set of another product
is *loaded*; one of the same product (another model, calibration or tuning) must first run in
*shadow* beside the active one and is then *promoted*, unless it was active before in this run.
Nothing is swapped inside a cycle: the request leaves an order, and whoever runs the controller
builds the set's controller and confirms with `loaded`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from controller.config import SupervisionConfig
from controller.data import Mode
from controller.products.limits import mv_limits
from controller.products.sets import ProductSet
from controller.products.shadow import ShadowState, verdict
from controller.supervision.requests import Answered
from controller.supervision.roles import Action, refusal
from plant_models.signal_list import signal_table

__all__ = [
    "CHANGES_IN",
    "ProductAction",
    "ProductRequest",
    "ProductState",
    "handle_product_requests",
    "loaded",
]

CHANGES_IN = frozenset({Mode.OFF, Mode.MONITORING})
"""Modes in which product, model and tuning may change."""


class ProductAction(StrEnum):
    """What can be asked; DROP ends the shadow."""

    LOAD = "load"
    SHADOW = "shadow"
    PROMOTE = "promote"
    DROP = "drop"


_NEEDS = {
    ProductAction.LOAD: Action.LOAD_PRODUCT,
    ProductAction.SHADOW: Action.SHADOW_MODEL,
    ProductAction.PROMOTE: Action.PROMOTE_MODEL,
    ProductAction.DROP: Action.SHADOW_MODEL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRequest:
    """A person asks for a change of product or model; user and role as authenticated."""

    set_hash: str
    action: ProductAction
    user: str
    role: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductState:
    """Sets by hash: in force, wanted, in shadow, in force before; empty where there is none.

    ``order`` is the set that whoever runs the controller is to load now; ``wanted_shadow`` the one
    that is to start in shadow. ``shadow`` is the candidate that runs.
    """

    active: str = ""
    order: str = ""
    wanted_shadow: str = ""
    former: tuple[str, ...] = ()
    shadow: ShadowState | None = None


def loaded(state: ProductState, set_hash: str) -> ProductState:
    """The state once a set is in force: no order is open, no candidate runs."""
    if set_hash == state.active:
        return replace(state, order="", wanted_shadow="", shadow=None)
    former = tuple(h for h in (*state.former, state.active) if h and h != set_hash)
    return ProductState(active=set_hash, former=tuple(dict.fromkeys(former)))


def handle_product_requests(
    state: ProductState,
    requests: Iterable[ProductRequest],
    *,
    mode: Mode,
    known: Mapping[str, ProductSet],
    config: SupervisionConfig,
) -> tuple[ProductState, tuple[Answered, ...]]:
    """Apply the requests in order, with an answer to each.

    Parameters
    ----------
    state
        After the cycle before.
    requests
        What people ask for.
    mode
        Mode before this cycle's requests for a mode.
    known
        Sets that this controller can load, by hash.
    config
        Roles, and when a candidate may be promoted.
    """
    answers = []
    for r in requests:
        problem = refusal(_NEEDS[r.action], r.user, r.role, r.reason, config)
        problem = problem or _too_late(mode) or _objection(state, r, known, config)
        if problem:
            answers.append(Answered(r, False, problem))
            continue
        state, text = _applied(state, r, known)
        answers.append(Answered(r, True, text))
    return state, tuple(answers)


def _too_late(mode: Mode) -> str:
    if mode in CHANGES_IN:
        return ""
    return f"product and model change only in {' or '.join(sorted(CHANGES_IN))}, not in {mode}"


def _objection(
    state: ProductState,
    r: ProductRequest,
    known: Mapping[str, ProductSet],
    config: SupervisionConfig,
) -> str:
    if r.action is ProductAction.DROP:
        return "" if state.shadow or state.wanted_shadow else "nothing runs in shadow"
    wanted = known.get(r.set_hash)
    if wanted is None:
        return f"there is no product set {r.set_hash!r}; known are {', '.join(sorted(known))}"
    if r.set_hash == state.active:
        return f"{wanted.label} is in force already"
    if state.order:
        return "another set is being loaded"
    if wanted.config.status == "retired":
        return f"{wanted.label} is retired"
    if r.action is not ProductAction.SHADOW and wanted.config.status != "approved":
        return f"{wanted.label} is {wanted.config.status}; only an approved set takes control"
    conflicts = mv_limits(signal_table(wanted.line.line), product=wanted).conflicts
    if conflicts:
        return "; ".join(conflicts.values())
    active = known.get(state.active)
    alike = active is not None and wanted.same_product(active)
    if r.action is ProductAction.LOAD:
        if alike and r.set_hash not in state.former:
            return f"{wanted.label} is the same product with another model: let it shadow first"
        return ""
    if not alike:
        return f"{wanted.label} is another product: load it instead"
    if r.action is ProductAction.SHADOW:
        return ""
    if state.shadow is None or state.shadow.set_hash != r.set_hash:
        return f"{wanted.label} does not run in shadow"
    good, text = verdict(state.shadow, config.products)
    return "" if good else text


def _applied(
    state: ProductState, r: ProductRequest, known: Mapping[str, ProductSet]
) -> tuple[ProductState, str]:
    if r.action is ProductAction.DROP:
        return replace(state, wanted_shadow="", shadow=None), "the shadow has ended"
    label = known[r.set_hash].label
    if r.action is ProductAction.SHADOW:
        state = replace(state, wanted_shadow=r.set_hash, shadow=None)
        return state, f"{label} starts in shadow"
    return replace(state, order=r.set_hash), f"{label} is being loaded"
