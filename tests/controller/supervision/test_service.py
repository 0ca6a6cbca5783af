"""Service of single variables: what is lost is fed forward, what is critical costs the loop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.config import SupervisionConfig
from controller.data import CV, Measurement, Mode, Validated, Verdict
from controller.service_config import ServiceConfig
from controller.supervision.service import (
    MEASURED_BY,
    CvService,
    Limited,
    LimitRequest,
    MvService,
    ServiceReport,
    ServiceRequest,
    ServiceState,
    handle_service_requests,
    in_service,
    initial_services,
    limited,
    operator_limits,
    services,
)
from plant_models.signals import MV, PLC, LineState
from tests.controller.kit import OWNED, TABLE, Loop, TinyPlant

CONFIG = SupervisionConfig(critical=(MV.MAIN_FORCE, MV.THICKNESS))
RANGES = {m.tag: (m.lo, m.hi) for m in TABLE.manipulated}


def data(*lost: str, unmeasured: tuple[str, ...] = (), line: str = "running") -> Validated:
    """A cycle's data in which MVs are not available and measurements not usable."""
    plant = TinyPlant()
    plant.values |= {f"{tag}/AVAIL": False for tag in lost}
    plant.values[PLC.LINE_STATE] = line
    validated = Loop(plant=plant).cycle().record.validated
    assert validated is not None
    dropped = Measurement(
        value=0.0, weight=0.0, verdict=Verdict.DROP, reason="bad status", source_time=0.0
    )
    return replace(
        validated,
        measurements={**validated.measurements, **dict.fromkeys(unmeasured, dropped)},
    )


def run(
    validated: Validated | None,
    state: ServiceState | None = None,
    *,
    cycles: int = 1,
    config: SupervisionConfig = CONFIG,
    **changes: object,
) -> tuple[ServiceState, ServiceReport]:
    state = initial_services(config) if state is None else state
    usual: dict[str, object] = {"owned": OWNED, "mode": Mode.CLOSED_LOOP, "config": config}
    for _ in range(cycles):
        state, report = services(state, validated, **{**usual, **changes})  # type: ignore[arg-type]
    return state, report


def switch(
    state: ServiceState, name: str, on: bool, mode: Mode = Mode.ADVISORY, **changes: str
) -> tuple[ServiceState, bool, str]:
    kind = "cv" if name in list(CV) else "mv" if "/" in name else "unit"
    request = ServiceRequest(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        on=on,
        **{"user": "ada", "role": "operator", "reason": "test"} | changes,
    )
    state, (answer,) = handle_service_requests(
        state, [request], owned=OWNED, ranges=RANGES, mode=mode, config=CONFIG
    )
    assert answer.request is request
    return state, answer.accepted, answer.text


def test_in_a_healthy_cycle_all_is_on_and_nothing_changes() -> None:
    validated = data()
    state, report = run(validated)
    assert set(report.mvs.values()) == {MvService.ON}
    assert set(report.cvs.values()) == {CvService.ON}
    assert (report.lost, dict(report.texts), report.out) == ("", {}, ())
    assert in_service(validated, report) is validated
    assert report.serving == len(OWNED) + len(CV)
    assert state.lost == frozenset()


def test_a_lost_mv_that_is_not_critical_becomes_a_disturbance_and_the_rest_goes_on() -> None:
    validated = data(MV.TURRET_SPEED)
    _, report = run(validated)
    assert report.mvs[MV.TURRET_SPEED] is MvService.FFWD
    assert report.lost == ""
    assert not in_service(validated, report).available[MV.TURRET_SPEED]
    assert in_service(validated, report).available[MV.TOTAL_FEED]


@pytest.mark.parametrize("tag", CONFIG.critical)
def test_a_lost_critical_mv_is_named(tag: str) -> None:
    assert run(data(tag))[1].lost == f"critical: {tag}"


def test_fewer_than_the_minimum_are_not_enough() -> None:
    config = SupervisionConfig(service=ServiceConfig(minimum_manipulated=4))
    assert run(data(OWNED[0]), config=config)[1].lost == ""
    lost = run(data(*OWNED[:2]), config=config)[1].lost
    assert lost == "3 manipulated variables, needed are 4"


def test_fewer_controlled_variables_than_the_minimum_are_not_enough() -> None:
    config = SupervisionConfig(service=ServiceConfig(critical_variables=(), minimum_controlled=3))
    one = frozenset({CV.POTENCY.value})
    assert run(data(), config=config, cvs_dropped=one)[1].lost == ""
    two = frozenset({CV.POTENCY.value, CV.TENSILE_STRENGTH.value})
    assert "2 controlled variables" in run(data(), config=config, cvs_dropped=two)[1].lost


def test_an_mv_that_comes_back_is_followed_before_it_is_moved() -> None:
    state, _ = run(data(MV.TURRET_SPEED), cycles=3)
    seen = []
    for _ in range(CONFIG.service.init_cycles + 1):
        state, report = run(data(), state)
        seen.append(report.mvs[MV.TURRET_SPEED])
        assert report.mvs[MV.TOTAL_FEED] is MvService.ON
    assert seen == [MvService.INIT] * CONFIG.service.init_cycles + [MvService.ON]


def test_an_mv_in_init_counts_as_there_but_is_not_moved() -> None:
    state, _ = run(data(MV.THICKNESS))
    validated = data()
    _, report = run(validated, state)
    assert report.mvs[MV.THICKNESS] is MvService.INIT
    assert (report.lost, report.held) == ("", {MV.THICKNESS})
    assert not in_service(validated, report).available[MV.THICKNESS]


def test_outside_of_closed_loop_an_mv_that_is_back_is_on_at_once() -> None:
    state, _ = run(data(MV.TURRET_SPEED), mode=Mode.ADVISORY)
    assert run(data(), state, mode=Mode.ADVISORY)[1].mvs[MV.TURRET_SPEED] is MvService.ON


@pytest.mark.parametrize("line", ["holding", "held", "restarting"])
def test_while_the_line_stands_all_track_and_nothing_is_lost(line: str) -> None:
    state, report = run(data(*OWNED, line=line), cycles=50)
    assert set(report.mvs.values()) == {MvService.TRACK}
    assert report.lost == ""
    _, report = run(data(), state)
    assert set(report.mvs.values()) == {MvService.ON}


def test_what_was_lost_before_a_stop_comes_back_through_init() -> None:
    state, _ = run(data(MV.TURRET_SPEED))
    state, _ = run(data(line="held"), state, cycles=5)
    assert run(data(), state)[1].mvs[MV.TURRET_SPEED] is MvService.INIT


def test_without_data_nothing_is_known_and_nothing_is_lost() -> None:
    _, report = run(None)
    assert set(report.mvs.values()) == {MvService.TRACK}
    assert report.lost == ""


@pytest.mark.parametrize(
    ("owner", "service", "text"),
    [
        ("LOCAL", MvService.FFWD, "the operator keeps it"),
        ("LOOP", MvService.TRACK, "a loop of the PLC"),
        ("CONTROLLER", MvService.FFWD, "does not let it"),
    ],
)
def test_the_owner_at_the_plc_tells_why_an_mv_is_not_there(
    owner: str, service: MvService, text: str
) -> None:
    plant = TinyPlant()
    plant.values |= {f"{MV.TURRET_SPEED}/AVAIL": False, f"{MV.TURRET_SPEED}/SRC": owner}
    record = Loop(plant=plant).cycle().record
    _, report = run(record.validated, snapshot=record.snapshot)
    assert report.mvs[MV.TURRET_SPEED] is service
    assert text in report.texts[MV.TURRET_SPEED]


def test_a_frozen_mv_is_a_disturbance_until_it_is_free_again() -> None:
    frozen = frozenset({MV.API_RATIO})
    state, report = run(data(), mvs_frozen=frozen)
    assert report.mvs[MV.API_RATIO] is MvService.FFWD
    assert run(data(), state)[1].mvs[MV.API_RATIO] is MvService.INIT


def test_a_critical_mv_that_the_ladder_holds_is_not_lost_but_one_that_the_plc_keeps_is() -> None:
    frozen = frozenset({MV.THICKNESS})
    _, report = run(data(), mvs_frozen=frozen)
    assert (report.lost, report.held) == ("", frozen)
    assert not in_service(data(), report).available[MV.THICKNESS]
    _, report = run(data(MV.THICKNESS), mvs_frozen=frozen)
    assert (report.lost, report.held) == (f"critical: {MV.THICKNESS}", frozenset())


def test_a_variable_that_is_not_measured_is_predicted_for_a_while_and_then_out() -> None:
    wanted = CONFIG.service
    lost = data(unmeasured=(MEASURED_BY[CV.POTENCY],))
    state, report = run(lost, cycles=wanted.predicted_after_cycles)
    assert report.cvs[CV.POTENCY] is CvService.ON
    state, report = run(lost, state)
    assert report.cvs[CV.POTENCY] is CvService.PREDICTED
    assert report.out == ()
    state, report = run(lost, state, cycles=wanted.predicted_cycles - 1)
    assert report.cvs[CV.POTENCY] is CvService.PREDICTED
    state, report = run(lost, state)
    assert (report.cvs[CV.POTENCY], report.out) == (CvService.OUT, (CV.POTENCY.value,))
    assert report.lost == ""
    assert run(data(), state)[1].cvs[CV.POTENCY] is CvService.ON


def test_a_critical_variable_that_is_out_costs_the_loop() -> None:
    many = CONFIG.service.predicted_after_cycles + CONFIG.service.predicted_cycles + 1
    lost = data(unmeasured=(MEASURED_BY[CV.TABLET_WEIGHT],))
    assert run(lost, cycles=many)[1].lost == "critical: tablet_weight"


def test_while_the_line_stands_no_measurement_is_missed() -> None:
    lost = data(unmeasured=tuple(MEASURED_BY.values()), line="held")
    _, report = run(lost, cycles=500)
    assert set(report.cvs.values()) == {CvService.ON}


def test_what_the_ladder_drops_is_out() -> None:
    _, report = run(data(), cvs_dropped=frozenset({CV.POTENCY.value}))
    assert report.out == (CV.POTENCY.value,)


@pytest.mark.parametrize(
    ("clamped", "asked", "way"),
    [
        (0, 30.0, None),
        (-1, 30.0, Limited.LOW),
        (1, 30.0, Limited.HIGH),
        (2, 90.0, Limited.RATE_UP),
        (2, 10.0, Limited.RATE_DOWN),
    ],
)
def test_a_limited_mv_says_in_which_direction(
    clamped: int, asked: float, way: Limited | None
) -> None:
    plant = TinyPlant()
    tag = MV.TURRET_SPEED
    plant.values |= {f"{tag}/CLAMPED": clamped, f"{tag}/REQ": asked, f"{tag}/ACT": 30.0}
    assert limited(plant.snapshot(), OWNED).get(tag) is way
    record = Loop(plant=plant).cycle().record
    assert run(record.validated, snapshot=record.snapshot)[1].limited.get(tag) is way


def test_a_unit_taken_out_of_remote_takes_its_mvs_out() -> None:
    state, accepted, text = switch(ServiceState(), "Formulation", False)
    assert (accepted, text) == (True, "Formulation is out of service")
    _, report = run(data(), state)
    out = {tag for tag, s in report.mvs.items() if s is MvService.OUT}
    assert out == {MV.TOTAL_FEED, MV.API_RATIO}
    assert "Formulation" in report.texts[MV.TOTAL_FEED]
    state, accepted, _ = switch(state, "Formulation", True)
    assert accepted
    assert run(data(), state, mode=Mode.ADVISORY)[1].mvs[MV.TOTAL_FEED] is MvService.ON


def test_out_of_service_holds_until_somebody_takes_it_in() -> None:
    state, _, _ = switch(ServiceState(), MV.API_RATIO, False)
    state, _, _ = switch(state, CV.POTENCY, False)
    state, report = run(data(), state, cycles=10)
    assert report.mvs[MV.API_RATIO] is MvService.OUT
    assert report.out == (CV.POTENCY.value,)
    state, _, _ = switch(state, MV.API_RATIO, True)
    assert run(data(), state)[1].mvs[MV.API_RATIO] is MvService.INIT


def test_what_the_settings_say_is_out_from_the_start() -> None:
    config = SupervisionConfig(service=ServiceConfig(out=(MV.API_RATIO,)))
    assert run(data(), config=config)[1].mvs[MV.API_RATIO] is MvService.OUT


@pytest.mark.parametrize("name", [MV.THICKNESS, "Press", CV.TABLET_WEIGHT.value])
def test_what_is_critical_is_not_taken_out_of_a_closed_loop(name: str) -> None:
    state, accepted, text = switch(ServiceState(), name, False, Mode.CLOSED_LOOP)
    assert not accepted and "critical; leave CLOSED_LOOP first" in text
    assert state == ServiceState()
    _, accepted, _ = switch(ServiceState(), name, False, Mode.ADVISORY)
    assert accepted


@pytest.mark.parametrize(
    ("name", "on", "change", "text"),
    [
        (MV.API_RATIO, True, {}, "in service already"),
        (MV.FILL_DEPTH, False, {}, "has no service switch"),
        ("Line", False, {}, "has no service switch"),
        (MV.API_RATIO, False, {"role": "observer"}, "has the role observer"),
        (MV.API_RATIO, False, {"role": "quality"}, "has the role quality"),
        (MV.API_RATIO, False, {"reason": ""}, "a reason"),
    ],
)
def test_a_switch_is_refused_for_a_reason(
    name: str, on: bool, change: dict[str, str], text: str
) -> None:
    state, accepted, told = switch(ServiceState(), name, on, **change)
    assert not accepted and text in told
    assert state == ServiceState()


def limit(
    lo: float | None, hi: float | None, *, role: str = "operator", shares: float = 1.0
) -> tuple[ServiceState, bool, str]:
    config = SupervisionConfig(service=ServiceConfig(role_shares=(("operator", shares),)))
    request = LimitRequest(mv=MV.MAIN_FORCE, lo=lo, hi=hi, user="ada", role=role, reason="test")
    before = ServiceState(limits={MV.MAIN_FORCE: (6.0, None)})
    state, (answer,) = handle_service_requests(
        before,
        [request],
        owned=OWNED,
        ranges={**RANGES, MV.MAIN_FORCE: (4.0, 12.0)},
        mode=Mode.CLOSED_LOOP,
        config=config,
    )
    assert answer.accepted or state == before
    return state, answer.accepted, answer.text


def test_limits_only_narrow_the_permitted_range() -> None:
    state, accepted, text = limit(5.0, 10.0)
    assert accepted and text == f"{MV.MAIN_FORCE} is limited to 5..10"
    assert state.limits == {MV.MAIN_FORCE: (5.0, 10.0)}
    assert operator_limits(state, TABLE) == {MV.MAIN_FORCE: pytest.approx((5000.0, 10000.0))}
    for lo, hi in ((3.9, 10.0), (5.0, 12.1), (10.0, 5.0), (float("nan"), 10.0), (7.0, 7.01)):
        assert not limit(lo, hi)[1], (lo, hi)


def test_a_limit_can_be_taken_away_again() -> None:
    state, accepted, _ = limit(None, None)
    assert accepted and state.limits == {}
    state, _, text = limit(None, 9.0)
    assert state.limits == {MV.MAIN_FORCE: (None, 9.0)}
    assert text.endswith("limited to ..9")
    lo, hi = operator_limits(state, TABLE)[MV.MAIN_FORCE]
    assert (lo, hi) == (-float("inf"), pytest.approx(9000.0))


def test_a_role_has_its_share_of_the_range() -> None:
    assert limit(6.0, 10.0, shares=0.5)[1]
    assert "must lie in 6..10" in limit(5.0, 10.0, shares=0.5)[2]
    assert "both limits are needed" in limit(None, 10.0, shares=0.5)[2]
    assert limit(5.0, 10.0, shares=0.5, role="engineer")[1]
    assert "has the role observer" in limit(5.0, 10.0, role="observer")[2]


def test_requests_of_others_are_left_alone() -> None:
    state, answers = handle_service_requests(
        ServiceState(),
        ["not ours"],
        owned=OWNED,
        ranges=RANGES,
        mode=Mode.ADVISORY,
        config=CONFIG,
    )
    assert (state, answers) == (ServiceState(), ())


def test_a_line_state_is_what_decides_whether_it_runs() -> None:
    assert data(line="held").line_state is LineState.HELD
