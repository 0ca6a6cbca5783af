"""Permissives: since when, debounce, counting."""

from dataclasses import replace

import pytest

from controller.config import ControllerConfig, SupervisionConfig
from controller.data import Mode, ReachedBy
from controller.supervision.findings import Counters, LinkStatus, count
from controller.supervision.permissives import (
    SAFETY,
    Finding,
    Name,
    Permissive,
    first_lost,
    missing,
    update,
)
from plant_models.signals import MV
from tests.controller.kit import FilterBrain, Loop, bad, controller_config

CONFIG = SupervisionConfig()


def _update(
    before: dict[Name, Permissive], good: bool, time: float, name: Name = Name.SOLVER
) -> dict[Name, Permissive]:
    return update(before, [Finding(name, good, f"at {time}")], time)


def test_since_when_moves_only_with_the_state() -> None:
    p = _update({}, True, 1.0)
    p = _update(p, True, 2.0)
    assert (p[Name.SOLVER].since, p[Name.SOLVER].text) == (1.0, "at 2.0")
    p = _update(p, False, 3.0)
    p = _update(p, False, 4.0)
    assert (p[Name.SOLVER].since, p[Name.SOLVER].lost_cycles) == (3.0, 2)
    p = _update(p, True, 5.0)
    assert (p[Name.SOLVER].since, p[Name.SOLVER].lost_cycles) == (5.0, 0)


@pytest.mark.parametrize("name", list(Name))
def test_safety_sheds_at_once_and_the_rest_after_its_debounce(name: Name) -> None:
    permissives: dict[Name, Permissive] = {}
    shed_after = 0
    for cycle in range(1, 6):
        permissives = _update(permissives, False, float(cycle), name)
        if first_lost(permissives, {name: 4}) is not None:
            shed_after = cycle
            break
    assert shed_after == (1 if name in SAFETY else 4)


def test_a_permissive_without_a_debounce_sheds_at_once() -> None:
    assert first_lost(_update({}, False, 1.0, Name.OPERATOR), {}) is not None


def test_ignored_permissives_do_not_count() -> None:
    p = _update({}, False, 1.0, Name.PLC_MODE)
    assert missing(p)
    assert missing(p, ignore=frozenset({Name.PLC_MODE})) == ()
    assert first_lost(p, {}, ignore=frozenset({Name.PLC_MODE})) is None


def _steps(pattern: str) -> list[Counters]:
    """Counters after each cycle; ``x`` is a failed innovation test."""
    counters, all_counters = Counters(), []
    for letter in pattern:
        loop = Loop(brain=FilterBrain(converged=letter != "x"))
        estimate = loop.cycle().record.estimate
        counters = count(counters, CONFIG, estimate, None)
        all_counters.append(counters)
    return all_counters


def test_a_short_failure_keeps_the_passes_and_a_long_one_does_not() -> None:
    passes = [c.estimator_passes for c in _steps("..." + "x" * 3 + ".")]
    assert passes == [1, 2, 3, 3, 3, 3, 4]
    long = CONFIG.debounce.estimator_cycles
    assert _steps("..." + "x" * long)[-1].estimator_passes == 0


@pytest.mark.parametrize("reached_by", list(ReachedBy))
def test_only_a_solved_plan_counts_as_healthy(reached_by: ReachedBy) -> None:
    loop = Loop(brain=FilterBrain(reached_by=reached_by))
    loop.cycle(Mode.ADVISORY)
    out = loop.cycles(CONFIG.solver_cycles)
    solved = reached_by in (ReachedBy.FAST, ReachedBy.REFERENCE, ReachedBy.BASELINE)
    assert out.state.supervision.permissives[Name.SOLVER].good == solved


def _shown(loop: Loop, **changes: object) -> dict[Name, Permissive]:
    return {p.name: p for p in loop.cycle(**changes).permissives}


def test_the_heartbeat_needs_two_readings_and_an_advance() -> None:
    loop = Loop()
    assert _shown(loop)[Name.HEARTBEAT].text == "seen once"
    assert _shown(loop)[Name.HEARTBEAT].good
    loop.plant.tick(-5)
    assert "did not advance" in _shown(loop)[Name.HEARTBEAT].text


def test_a_silent_plant_or_a_lost_link_is_no_fresh_heartbeat() -> None:
    loop = Loop()
    loop.cycles(2)
    assert not _shown(loop, link=LinkStatus(alive=False))[Name.HEARTBEAT].good
    lost = _shown(loop, link=LinkStatus(connected=False, note="cut"))[Name.HEARTBEAT]
    assert (lost.good, lost.text) == (False, "cut")


def test_a_unit_that_differs_is_a_disagreement() -> None:
    tag = "Line/Press/MainForce/PV"
    shown = _shown(Loop(), link=LinkStatus(disagreements=(tag,)))[Name.AGREEMENT]
    assert not shown.good
    assert tag in shown.text


def test_missing_measurements_are_named() -> None:
    loop = Loop()
    loop.cycles(3)
    bad(loop.plant, "Line/Press/Thickness/FBK")
    loop.cycles(7)
    shown = _shown(loop)[Name.MEASUREMENTS]
    assert (shown.good, shown.text) == (False, "Line/Press/Thickness/FBK")


def test_what_the_ladder_has_taken_over_is_its_permissive_and_not_a_missing_measurement() -> None:
    loop = Loop()
    loop.cycles(3)
    bad(loop.plant, "Line/Press/MainForce/PV")
    loop.cycles(7)
    shown = _shown(loop)
    assert shown[Name.MEASUREMENTS].good
    assert not shown[Name.INSTRUMENTS].good
    assert "main force" in shown[Name.INSTRUMENTS].text


def test_a_refused_frame_of_somebody_else_is_not_ours() -> None:
    loop = Loop()
    loop.cycle()
    loop.plant.values["Line/PLC/REJECTED_COUNT"] = 5
    assert _shown(loop)[Name.COMMANDS].good
    counters = replace(loop.state.counters, frame_sent=True)
    loop.state = replace(loop.state, counters=counters)
    loop.plant.values["Line/PLC/REJECTED_COUNT"] = 6
    assert _shown(loop)[Name.COMMANDS].text == "the PLC refused 1 frame(s)"


def test_a_lost_critical_set_point_sheds_after_its_debounce_and_another_does_not() -> None:
    loop = Loop()
    loop.close()
    loop.plant.values[f"{MV.TOTAL_FEED}/AVAIL"] = False
    loop.cycles(10)
    assert loop.state.mode is Mode.CLOSED_LOOP
    loop.plant.values[f"{MV.THICKNESS}/AVAIL"] = False
    assert not _shown(loop)[Name.SET_POINTS].good
    loop.cycles(CONFIG.debounce.set_points_cycles - 1)
    assert loop.state.mode is Mode.SHED
    assert MV.THICKNESS in loop.state.supervision.cause


def test_a_request_that_reads_back_otherwise_is_trouble() -> None:
    loop = Loop()
    loop.close()
    assert _shown(loop)[Name.COMMANDS].good
    loop.plant.values[f"{MV.MAIN_FORCE}/REQ"] = 9.9
    shown = _shown(loop)[Name.COMMANDS]
    assert not shown.good
    assert "9.9 reads back" in shown.text


def test_the_critical_set_points_must_exist_and_belong_to_the_structure() -> None:
    with pytest.raises(ValueError, match="no manipulated variable"):
        SupervisionConfig(critical=("Line/Press/Nothing",))
    shipped = controller_config().model_dump(by_alias=True)
    with pytest.raises(ValueError, match="never available"):
        ControllerConfig.model_validate(shipped | {"structure": "REMOTE"})
