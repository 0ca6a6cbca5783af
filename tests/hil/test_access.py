"""Who may write and call what at the plant, and which values get through."""

import math
from pathlib import Path

import pytest

from hil.access import (
    CALLS,
    LONGEST_TEXT,
    ROLES,
    STATES,
    WRITES,
    may_call,
    may_write,
    value_refused,
)
from hil.plc.handshake import apply_frame
from plant_models.signal_list import signal_table
from plant_models.signals import APC, MV, PLC, Writer
from tests.hil.plc_kit import actual, frame, granted, parameters, running_state
from tests.hil.truth_kit import line
from tools.security import UserConfig

TABLE = signal_table(line().line)


def test_only_the_controller_writes_and_only_what_is_its_own() -> None:
    writable = {role: {s.tag for s in TABLE if may_write(s, role)} for role in ROLES}
    frame_tags = {f"{m.tag}/REQ" for m in TABLE.manipulated} | {
        APC.HB,
        APC.STATE,
        APC.SEQ_HEAD,
        APC.SEQ_TAIL,
        APC.ECHO,
        APC.EPOCH,
        APC.DIVERT_REQ,
    }
    assert writable.pop("controller") == frame_tags
    assert set().union(*writable.values()) == set()


def test_every_tag_that_a_controller_is_to_write_it_may_write() -> None:
    assert [
        s.tag for s in TABLE if s.writer is Writer.CONTROLLER and not may_write(s, "controller")
    ] == []


def test_people_call_what_is_theirs_and_the_controller_asks_for_control() -> None:
    called = {role: {r.paths for r in CALLS if may_call(r.paths, role)} for role in ROLES}
    people = {PLC.OPERATOR_SET, PLC.SET_LOCAL, PLC.LINE_COMMAND, PLC.LOAD_RECIPE}
    assert called.pop("controller") == {PLC.REQUEST_CONTROL}
    assert called.pop("operator") >= people
    assert called.pop("supervisor") == {PLC.LOAD_RECIPE}
    assert set().union(*called.values()) == set()
    assert not may_call(PLC.LINE_COMMAND, "stranger")
    assert not may_call("Line/PLC/Unknown", "operator")


def test_the_roles_are_those_that_accounts_can_have() -> None:
    for role in ROLES:
        assert UserConfig(name="somebody", role=role).role == role  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_refused(value: float) -> None:
    assert "finite" in value_refused(f"{MV.THICKNESS}/REQ", value)


def test_words_of_the_handshake_are_short_and_known() -> None:
    assert all(value_refused(APC.STATE, s) == "" for s in STATES)
    assert "no mode" in value_refused(APC.STATE, "RULING")
    assert "longer" in value_refused("Line/APC/Note", "x" * (LONGEST_TEXT + 1))


@pytest.mark.parametrize("value", [1e308, -1e308, 1e9, -1e9])
def test_a_finite_request_outside_its_range_is_clamped_by_the_plc(value: float) -> None:
    """It is not refused: `CLAMPED` shows it, and one control period moves one rate step at most."""
    assert value_refused(f"{MV.THICKNESS}/REQ", value) == ""
    p, state = parameters(), granted(running_state())
    before = actual(state)[MV.THICKNESS]
    after, cause = apply_frame(p, state, frame(state, {MV.THICKNESS: value}))
    assert cause is None
    limit, mv = p.limits[MV.THICKNESS], after.mvs[MV.THICKNESS]
    assert limit.lo <= mv.target <= limit.hi
    assert abs(mv.target - state.mvs[MV.THICKNESS].act) <= (
        limit.rate * p.config.control_period_s * (1 + 1e-9)
    )
    assert mv.clamped != 0
    assert actual(after)[MV.THICKNESS] == before


def test_the_description_shows_the_tables_as_they_are(root: Path) -> None:
    text = (root / "docs" / "link.md").read_text("utf-8")
    for rule in (*WRITES, *CALLS):
        who = ", ".join(sorted(rule.roles)) or "nobody"
        assert f"| `{rule.paths}` | {who} | {rule.why} |" in text
    assert text.count("\n| `Line/") == len(WRITES) + len(CALLS)
