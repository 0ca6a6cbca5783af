"""The table of permissives, and the findings that other parts of supervision feed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from controller.config import SupervisionConfig
from controller.cycle_data import CycleInputs
from controller.data import Estimate, Mode
from controller.supervision.findings import Counters, count, findings
from controller.supervision.permissives import (
    NEEDED_TO_CLOSE,
    NEEDED_TO_RESUME,
    SAFETY,
    SHEDS_SUSPENDED,
    SHEDS_WRITING,
    TABLE,
    Finding,
    Loss,
    Name,
    debounce_of,
    update,
)
from controller.supervision.supervisor import SupervisionState, resting
from controller.supervision_config import DebounceConfig
from plant_models.signals import LineState
from tests.controller.kit import EPOCH, Loop

CONFIG = SupervisionConfig()


@dataclass(frozen=True)
class Report:
    """Any of the reports; only what a finding looks at."""

    ready: bool = True
    text: str = "ready"
    lost: object = ()
    shed: str = ""
    serving: int = 9
    held: frozenset[str] = frozenset()
    name: str = "tablets"
    recipe_id_wanted: str = ""
    objection: str = ""


def found(loop: Loop, **reports: object) -> dict[Name, Finding]:
    loop.plant.tick()
    snapshot = loop.plant.snapshot()
    validated, _ = loop.setup.validator.validate(snapshot, loop.state.validation)
    result = findings(
        snapshot,
        validated,
        loop.state.supervision,
        Counters(estimator_passes=12, solver_passes=3),
        CONFIG,
        link=CycleInputs(snapshot=None).link,
        last_heartbeat=loop.plant.heartbeat - 5,
        structure="CASCADE",
        epoch=EPOCH,
        model_version=loop.setup.model_version,
        recipe_id=loop.setup.recipe_id,
        has_estimator=True,
        write_trouble="",
        critical=CONFIG.critical or ("Line/Press/Thickness",),
        **reports,  # type: ignore[arg-type]
    )
    assert len({f.name for f in result}) == len(result)
    return {f.name: f for f in result}


def test_every_permissive_has_one_row_that_tells_the_operator_what_to_do() -> None:
    assert [r.name for r in TABLE] == list(Name)
    for row in TABLE:
        assert row.means and row.remedy and row.value, row.name


def test_a_debounce_belongs_to_what_sheds_after_one() -> None:
    fields = set(DebounceConfig.model_fields)
    assert {r.debounce for r in TABLE if r.debounce} == fields
    for row in TABLE:
        assert bool(row.debounce) == (row.writing is Loss.DEBOUNCED), row.name
    assert debounce_of(CONFIG)[Name.SERVICES] == CONFIG.debounce.services_cycles


def test_what_the_table_says_of_safety_of_suspension_and_of_the_grant() -> None:
    assert {
        Name.HEARTBEAT,
        Name.PLC_MODE,
        Name.PERMIT,
        Name.AGREEMENT,
        Name.PRODUCT,
    } == SAFETY
    assert set(Name) - NEEDED_TO_CLOSE == {Name.PLC_MODE}
    assert {Name.READINESS} == NEEDED_TO_CLOSE - NEEDED_TO_RESUME
    assert set(Name) - SHEDS_WRITING == {Name.LINE_STATE, Name.READINESS}
    assert SAFETY - {Name.PLC_MODE} | {Name.OPERATOR} == SHEDS_SUSPENDED
    assert SHEDS_SUSPENDED < SHEDS_WRITING


def test_what_is_not_built_is_absent_and_never_green() -> None:
    shown = found(Loop())
    built = {Name.INSTRUMENTS, Name.SERVICES, Name.PRODUCT, Name.READINESS}
    assert set(shown) == set(Name) - built
    assert [f for f in shown] == [r.name for r in TABLE if r.name in shown]


def test_the_findings_stand_in_the_order_of_the_table() -> None:
    loop = Loop()
    bound = Report(recipe_id_wanted=loop.setup.recipe_id)
    shown = found(
        loop, readiness=Report(), ladder=Report(), services=Report(lost=""), product=bound
    )
    assert list(shown) == list(Name)
    reports = (Name.INSTRUMENTS, Name.SERVICES, Name.PRODUCT, Name.READINESS)
    assert all(shown[name].good for name in reports)


@pytest.mark.parametrize(
    ("reports", "name", "text"),
    [
        ({"readiness": Report(ready=False, text="too early")}, Name.READINESS, "too early"),
        ({"ladder": Report(shed="main force lost")}, Name.INSTRUMENTS, "main force lost"),
        ({"services": Report(lost="critical: x")}, Name.SERVICES, "critical: x"),
        ({"product": Report(recipe_id_wanted="R2")}, Name.PRODUCT, "tablets is R2, the PLC has"),
        (
            {"product": Report(recipe_id_wanted="REF-200-01", objection="not released")},
            Name.PRODUCT,
            "not released",
        ),
    ],
)
def test_a_report_makes_its_permissive(reports: dict[str, object], name: Name, text: str) -> None:
    shown = found(Loop(), **reports)
    assert not shown[name].good
    assert text in shown[name].text


def test_an_instrument_that_is_lost_but_allowed_is_told_and_holds() -> None:
    shown = found(Loop(), ladder=Report(lost=("nir",)))[Name.INSTRUMENTS]
    assert (shown.good, shown.text, shown.value) == (True, "1 lost, allowed", 1)


def test_a_critical_set_point_that_is_only_held_is_not_lost() -> None:
    loop, tag = Loop(), "Line/Press/Thickness"
    loop.plant.values[f"{tag}/AVAIL"] = False
    assert not found(loop)[Name.SET_POINTS].good
    assert not found(loop, services=Report(lost=""))[Name.SET_POINTS].good
    held = Report(lost="", held=frozenset({tag}))
    assert found(loop, services=held)[Name.SET_POINTS].good


def test_a_permissive_shows_a_value_next_to_its_text() -> None:
    shown = found(Loop(), services=Report(lost=""))
    values = {name: f.value for name, f in shown.items()}
    assert values[Name.LINE_STATE] == "running"
    assert values[Name.PLC_MODE] == "LOCAL"
    assert values[Name.ESTIMATOR] == 12
    assert values[Name.SERVICES] == 9
    assert values[Name.MEASUREMENTS] == 0
    assert values[Name.COMMANDS] == 0
    assert values[Name.HEARTBEAT] == pytest.approx(0.0)


def test_the_newest_value_is_kept_with_the_older_since() -> None:
    before = update({}, [Finding(Name.SOLVER, True, "6 of 6", 6)], 1.0)
    after = update(before, [Finding(Name.SOLVER, True, "7 of 6", 7)], 2.0)[Name.SOLVER]
    assert (after.since, after.value, after.text) == (1.0, 7, "7 of 6")
    assert after == replace(before[Name.SOLVER], value=7, text="7 of 6")
    assert "call the engineer" in after.remedy


def test_a_permissive_tells_after_how_many_cycles_its_loss_sheds() -> None:
    shown = {p.name: p for p in Loop().cycle().permissives}
    assert shown[Name.SOLVER].debounce_cycles == CONFIG.debounce.solver_cycles
    assert shown[Name.HEARTBEAT].debounce_cycles == 0
    assert shown[Name.SERVICES].value == 9


def estimate(*, tested: bool, converged: bool = False) -> Estimate:
    made = Loop().cycle().record.estimate
    assert made is not None
    return replace(made, tested=tested, converged=converged)


@pytest.mark.parametrize("rests", [True, False])
def test_a_test_that_could_not_be_made_fails_only_a_loop_that_does_not_rest(rests: bool) -> None:
    before = Counters(estimator_passes=30)
    after, untested = before, estimate(tested=False)
    for _ in range(100):
        after = count(after, CONFIG, untested, None, resting=rests)
    wanted = (30, 0) if rests else (0, 100)
    assert (after.estimator_passes, after.estimator_fails) == wanted


def test_a_test_that_was_made_counts_whether_the_loop_rests_or_not() -> None:
    before = Counters(estimator_passes=30)
    for rests in (True, False):
        failed = count(before, CONFIG, estimate(tested=True), None, resting=rests)
        assert (failed.estimator_passes, failed.estimator_fails) == (30, 1)
        passed = count(failed, CONFIG, estimate(tested=True, converged=True), None, resting=rests)
        assert (passed.estimator_passes, passed.estimator_fails) == (31, 0)


def test_a_loop_rests_while_its_line_stands_and_for_its_first_cycles_after() -> None:
    closed = SupervisionState(mode=Mode.CLOSED_LOOP, closed_cycles=CONFIG.estimator_cycles)
    assert not resting(closed, LineState.RUNNING, CONFIG)
    assert resting(closed, LineState.HOLDING, CONFIG)
    assert resting(replace(closed, suspended_since=1.0), LineState.RUNNING, CONFIG)
    assert resting(replace(closed, closed_cycles=0), LineState.RUNNING, CONFIG)
    for mode in set(Mode) - {Mode.CLOSED_LOOP}:
        assert not resting(replace(closed, mode=mode), LineState.HELD, CONFIG)
