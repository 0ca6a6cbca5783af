"""Who may change product, model and tuning, when, and what has to be shown first."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from controller.config import SupervisionConfig
from controller.data import CV, Mode
from controller.products.requests import (
    CHANGES_IN,
    ProductAction,
    ProductRequest,
    ProductState,
    handle_product_requests,
    loaded,
)
from controller.products.sets import ProductSet
from controller.products.shadow import Errors, Figures, ShadowState
from controller.supervision.requests import Answered
from plant_models.config import ZoneConfig
from plant_models.signals import MV
from tools.configuration import load_product_set

CONFIG = SupervisionConfig()
SETS = Path(__file__).parents[3] / "configs/product_sets"
LOAD, SHADOW = ProductAction.LOAD, ProductAction.SHADOW
PROMOTE, DROP = ProductAction.PROMOTE, ProductAction.DROP


@lru_cache
def _shipped(name: str) -> ProductSet:
    return load_product_set(SETS / f"{name}.yaml")


def _other(made: ProductSet, set_hash: str, **changes: object) -> ProductSet:
    return replace(made, hash=set_hash, config=made.config.model_copy(update=changes))


def _known() -> dict[str, ProductSet]:
    a, b = _shipped("reference_tablet"), _shipped("half_strength_tablet")
    narrow = {MV.TURRET_SPEED: ZoneConfig(lo=80.0, hi=90.0)}
    return {
        "a": replace(a, hash="a"),
        "b": replace(b, hash="b"),
        "a2": _other(a, "a2", version=2),
        "draft": _other(a, "draft", status="draft"),
        "old": _other(b, "old", status="retired"),
        "narrow": _other(b, "narrow", filed=narrow, normal={}),
    }


def _ask(
    state: ProductState,
    action: ProductAction,
    set_hash: str = "",
    *,
    mode: Mode = Mode.MONITORING,
    role: str = "quality",
    reason: str = "order 12",
    known: Mapping[str, ProductSet] | None = None,
) -> tuple[ProductState, Answered]:
    request = ProductRequest(
        set_hash=set_hash, action=action, user="quinn", role=role, reason=reason
    )
    after, (answer,) = handle_product_requests(
        state, [request], mode=mode, known=_known() if known is None else known, config=CONFIG
    )
    assert answer.request is request
    return after, answer


ACTIVE = ProductState(active="a")
NINE = Errors(9, 0.0, 9e-6, 9)
GOOD = Figures(500, 480, {CV.TABLET_WEIGHT: NINE, CV.TENSILE_STRENGTH: NINE})
PROVEN = replace(
    ACTIVE, shadow=ShadowState(set_hash="a2", brain=None, since=0.0, active=GOOD, candidate=GOOD)
)


@pytest.mark.parametrize("action", list(ProductAction))
@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_changes_but_in_off_and_monitoring(mode: Mode, action: ProductAction) -> None:
    wanted = {LOAD: "b", SHADOW: "a2", PROMOTE: "a2", DROP: ""}[action]
    after, answer = _ask(PROVEN, action, wanted, mode=mode)
    assert answer.accepted == (mode in CHANGES_IN)
    if mode not in CHANGES_IN:
        assert after == PROVEN
        assert answer.text.endswith(f"only in MONITORING or OFF, not in {mode}")


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (LOAD, {"supervisor", "quality"}),
        (SHADOW, {"engineer", "quality"}),
        (PROMOTE, {"quality"}),
        (DROP, {"engineer", "quality"}),
    ],
)
def test_who_may(action: ProductAction, allowed: set[str]) -> None:
    wanted = {LOAD: "b", SHADOW: "a2", PROMOTE: "a2", DROP: ""}[action]
    roles = {"observer", "operator", "supervisor", "engineer", "quality", "controller", ""}
    accepted = {r for r in roles if _ask(PROVEN, action, wanted, role=r)[1].accepted}
    assert accepted == allowed
    assert not _ask(PROVEN, action, wanted, reason=" ")[1].accepted


def test_another_product_is_loaded_and_remembered() -> None:
    state, answer = _ask(ACTIVE, LOAD, "b")
    assert (answer.accepted, state.order, state.active) == (True, "b", "a")
    assert answer.text == "half-strength tablet version 1 (b) is being loaded"
    state = loaded(state, "b")
    assert state == ProductState(active="b", former=("a",))
    assert loaded(state, "b") == state
    state, answer = _ask(state, LOAD, "a")
    assert answer.accepted
    assert loaded(state, "a") == ProductState(active="a", former=("b",))


@pytest.mark.parametrize(
    ("action", "wanted", "why"),
    [
        (LOAD, "nothing", "there is no product set 'nothing'; known are a, a2, b, draft"),
        (LOAD, "a", "is in force already"),
        (LOAD, "old", "is retired"),
        (LOAD, "draft", "is draft; only an approved set takes control"),
        (LOAD, "a2", "the same product with another model: let it shadow first"),
        (LOAD, "narrow", "filed wants at least 80, PLC at most 75 rpm"),
        (SHADOW, "b", "is another product: load it instead"),
        (SHADOW, "old", "is retired"),
        (PROMOTE, "b", "is another product: load it instead"),
        (PROMOTE, "a2", "does not run in shadow"),
        (DROP, "", "nothing runs in shadow"),
    ],
)
def test_what_is_refused(action: ProductAction, wanted: str, why: str) -> None:
    after, answer = _ask(ACTIVE, action, wanted)
    assert (answer.accepted, after) == (False, ACTIVE)
    assert why in answer.text


def test_one_order_at_a_time() -> None:
    state, _ = _ask(ACTIVE, LOAD, "b")
    after, answer = _ask(state, SHADOW, "a2")
    assert (answer.accepted, after) == (False, state)
    assert answer.text == "another set is being loaded"


def test_a_candidate_shadows_is_promoted_and_may_be_taken_back() -> None:
    state, answer = _ask(ACTIVE, SHADOW, "a2", role="engineer")
    assert answer.accepted and state.wanted_shadow == "a2"
    young = ShadowState(set_hash="a2", brain=None, since=0.0)
    state, answer = _ask(replace(state, wanted_shadow="", shadow=young), PROMOTE, "a2")
    assert (answer.accepted, answer.text) == (False, "it has learnt from 0 of 2 samples")
    state, answer = _ask(replace(state, shadow=PROVEN.shadow), PROMOTE, "a2")
    assert (answer.accepted, state.order) == (True, "a2")
    state = loaded(state, "a2")
    assert (state.active, state.former, state.shadow) == ("a2", ("a",), None)
    state, answer = _ask(state, LOAD, "a")  # it was in force in this run: no shadow is needed
    assert answer.accepted


def test_a_draft_may_shadow_but_not_be_promoted() -> None:
    state, answer = _ask(ACTIVE, SHADOW, "draft")
    assert answer.accepted
    assert PROVEN.shadow is not None
    state = replace(state, shadow=replace(PROVEN.shadow, set_hash="draft"))
    _, answer = _ask(state, PROMOTE, "draft")
    assert "only an approved set" in answer.text


def test_the_figures_of_one_candidate_do_not_promote_another() -> None:
    known = {**_known(), "a3": _other(_shipped("reference_tablet"), "a3", version=3)}
    _, answer = _ask(PROVEN, PROMOTE, "a3", known=known)
    assert (answer.accepted, "does not run in shadow" in answer.text) == (False, True)


def test_dropping_ends_the_shadow() -> None:
    after, answer = _ask(PROVEN, DROP)
    assert (answer.accepted, after.shadow) == (True, None)
