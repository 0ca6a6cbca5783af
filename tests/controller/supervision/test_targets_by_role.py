"""Set points by role: everybody stays within the product, some within a share of it."""

from __future__ import annotations

import pytest

from controller.config import SupervisionConfig
from controller.data import CV
from controller.service_config import ServiceConfig
from controller.targets import TargetRequest, handle_target_requests, product_targets
from tests.controller.kit import LINE

TARGETS = product_targets(LINE)
HALF = SupervisionConfig(service=ServiceConfig(role_shares=(("operator", 0.5),)))


def ask(value: float, role: str, config: SupervisionConfig, cv: CV = CV.TABLET_WEIGHT) -> str:
    """The refusal of a target, empty if it is taken."""
    request = TargetRequest(variable=cv, value=value, user="ada", role=role, reason="test")
    targets, (answer,) = handle_target_requests(TARGETS, (request,), LINE, config)
    assert answer.accepted == (targets.set_points[cv] == value)
    return "" if answer.accepted else answer.text


def test_a_role_with_a_share_stays_nearer_to_the_products_own_target() -> None:
    assert ask(204e-6, "operator", HALF) == ""
    assert "must lie in 0.000195..0.000205" in ask(206e-6, "operator", HALF)
    assert ask(206e-6, "supervisor", HALF) == ""
    assert ask(206e-6, "operator", SupervisionConfig()) == ""


def test_the_share_lies_around_the_target_not_around_the_middle() -> None:
    nominal = TARGETS.set_points[CV.THROUGHPUT]
    assert ask(nominal * (1.0 + 1e-9), "operator", HALF, CV.THROUGHPUT) == ""
    highest = nominal + 0.5 * (28.0 / 3600.0 - nominal)
    assert ask(0.999 * highest, "operator", HALF, CV.THROUGHPUT) == ""
    assert "must lie in" in ask(1.001 * highest, "operator", HALF, CV.THROUGHPUT)


@pytest.mark.parametrize("role", ["observer", "engineer", "quality", "administrator"])
def test_only_those_who_operate_set_targets(role: str) -> None:
    assert f"ada has the role {role}" in ask(204e-6, role, HALF)
