"""The permission table: every action has its roles, and every request passes it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from controller.config import SupervisionConfig
from controller.service_config import ServiceConfig
from controller.supervision.mode_table import ASKS
from controller.supervision.roles import PERMISSIONS, Action, Role, allowed, refusal, share_of
from tools.security import SecurityConfig

CONFIG = SupervisionConfig()


def test_every_action_is_in_the_table_and_the_controller_in_no_row() -> None:
    assert set(PERMISSIONS) == set(Action)
    assert all(Role.CONTROLLER not in roles for roles in PERMISSIONS.values())
    assert all(roles for roles in PERMISSIONS.values())


def test_an_observer_and_an_administrator_see_and_change_nothing() -> None:
    for role in (Role.OBSERVER, Role.ADMINISTRATOR):
        assert {a for a, roles in PERMISSIONS.items() if role in roles} == {Action.VIEW}


def test_only_those_who_operate_close_the_loop_and_more_may_stop_it() -> None:
    assert PERMISSIONS[Action.CLOSE_LOOP] == {Role.OPERATOR, Role.SUPERVISOR}
    assert PERMISSIONS[Action.SHED] > PERMISSIONS[Action.CLOSE_LOOP]


def test_a_model_or_product_is_let_in_by_quality_never_by_an_operator_alone() -> None:
    for action in (Action.LOAD_PRODUCT, Action.SHADOW_MODEL, Action.PROMOTE_MODEL):
        assert Role.QUALITY in PERMISSIONS[action]
        assert Role.OPERATOR not in PERMISSIONS[action]


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", [*map(str, Role), "guest", ""])
def test_a_role_may_do_what_the_table_says_and_nothing_else(action: Action, role: str) -> None:
    told = refusal(action, "ada", role, "a good reason", CONFIG)
    permitted = role in {r.value for r in PERMISSIONS[action]}
    assert (told == "") == permitted
    if not permitted:
        assert told.startswith(f"ada has the role {role or 'none'}, needed is ")


@pytest.mark.parametrize("action", list(Action))
def test_nobody_and_no_reason_are_refused_whatever_is_asked(action: Action) -> None:
    role = allowed(action, CONFIG)[0]
    assert refusal(action, "", role, "a good reason", CONFIG) == "nobody has asked"
    assert "a reason of at least 3" in refusal(action, "ada", role, " a ", CONFIG)


def test_a_site_says_which_of_its_roles_operate() -> None:
    config = SupervisionConfig(operator_roles=("engineer", "shift_lead"))
    assert allowed(Action.CLOSE_LOOP, config) == ("engineer", "shift_lead")
    assert allowed(Action.SET_LIMIT, config) == ("engineer", "shift_lead")
    assert allowed(Action.SHED, config) == ("engineer", "shift_lead", "quality")
    assert allowed(Action.PROMOTE_MODEL, config) == ("quality",)
    assert refusal(Action.CLOSE_LOOP, "ada", "operator", "reason", config) != ""


def test_every_role_has_an_account_by_default() -> None:
    assert {u.role for u in SecurityConfig().users} == {r.value for r in Role}


def test_every_request_for_a_mode_has_an_action() -> None:
    assert set(ASKS.values()) == {Action.CHANGE_MODE, Action.CLOSE_LOOP, Action.SHED}


def test_a_role_has_all_of_a_range_unless_the_settings_say_less() -> None:
    config = SupervisionConfig(service=ServiceConfig(role_shares=(("operator", 0.5),)))
    assert (share_of("operator", config), share_of("engineer", config)) == (0.5, 1.0)
    assert share_of("operator", CONFIG) == 1.0


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="no manipulated variable"):
        ServiceConfig(out=("Line/Press/Nothing",))
    with pytest.raises(ValidationError, match="a role occurs twice"):
        ServiceConfig(role_shares=(("operator", 0.5), ("operator", 0.6)))
