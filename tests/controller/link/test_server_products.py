"""What people see of a candidate in shadow: its figures against the active model, the verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controller.data import CV, Interval
from controller.link.server_products import product_values
from controller.link.server_values import Quantity
from controller.products.requests import ProductState
from controller.products.sets import ProductBinding
from controller.products.shadow import Errors, Figures, Said, ShadowState
from controller.products.watch import shadow_record
from controller.products_config import ProductsConfig

BOUND = ProductBinding(hash="a", recipe_id_wanted="REF@a", name="tablet", version=3)
CONFIG = ProductsConfig(least_cycles=10, least_samples=2)
WEIGHT = CV.TABLET_WEIGHT.value


def record(active: float, candidate: float) -> dict[str, Any]:
    """Of a candidate that was compared twice in either variable."""

    def figures(bias: float) -> Figures:
        errors = Errors(count=2, total=2 * bias, squares=2 * bias * bias, inside=1)
        names = (CV.TABLET_WEIGHT, CV.TENSILE_STRENGTH)
        return Figures(cycles=40, converged=39, errors={n.value: errors for n in names})

    said = {WEIGHT: Interval(201e-6, 1e-6)}
    shadow = ShadowState(
        set_hash="b",
        brain=None,
        since=1.7e9,
        run_in=24,
        active=figures(active),
        candidate=figures(candidate),
        history=(Said(1.7e9, {}, said),),
    )
    return shadow_record(ProductState(active="a", shadow=shadow), CONFIG)


def test_without_a_candidate_only_the_set_is_shown() -> None:
    assert product_values(None, {}) == {}
    assert product_values(BOUND, {}) == {
        "Product/Name": "tablet",
        "Product/Version": 3,
        "Product/Hash": "a",
        "Product/RecipeIdWanted": "REF@a",
    }


@pytest.mark.parametrize(("candidate", "better"), [(-0.002, True), (-0.006, False)])
def test_both_models_are_shown_side_by_side(candidate: float, better: bool) -> None:
    values = product_values(BOUND, record(0.004, candidate))
    path = "Product/Shadow"
    assert values[f"{path}/Hash"] == "b"
    assert (values[f"{path}/RunInCycles"], values[f"{path}/Cycles"]) == (24, 40)
    assert values[f"{path}/MayBePromoted"] is better
    assert str(values[f"{path}/Verdict"]).endswith(f"({'' if better else 'not '}better or equal)")
    assert values[f"{path}/{WEIGHT}/Samples"] == 2
    shown = {
        "ErrorActive": 0.4,
        "ErrorCandidate": -100.0 * candidate,
        "BiasActive": 0.4,
        "BiasCandidate": 100.0 * candidate,
        "CoverageActive": 50.0,
        "CoverageCandidate": 50.0,
    }
    for name, percent in shown.items():
        found = values[f"{path}/{WEIGHT}/{name}"]
        assert isinstance(found, Quantity) and found.unit == "%"
        assert found.value == pytest.approx(percent), name
    low, high = values[f"{path}/{WEIGHT}/Low"], values[f"{path}/{WEIGHT}/High"]
    assert isinstance(low, Quantity) and isinstance(high, Quantity)
    assert (low.value, high.value) == (pytest.approx(200.0), pytest.approx(202.0))


def test_figures_that_are_not_there_yet_are_no_number() -> None:
    shadow = ShadowState(set_hash="b", brain=None, since=1.7e9, run_in=3)
    found = shadow_record(ProductState(active="a", shadow=shadow), CONFIG)
    values = product_values(BOUND, found)
    assert values["Product/Shadow/Verdict"] == "it has learnt from 0 of 2 samples"
    assert not [name for name in values if name.startswith(f"Product/Shadow/{WEIGHT}")]
    assert not math.isfinite(Errors().rms)
