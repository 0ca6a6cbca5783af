"""Readiness: forecasts against what came, the plan against the operator, health, bounded memory."""

import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from controller.data import CV, Forecast, LabSample, Mode, ReachedBy
from controller.readiness_config import ReadinessConfig
from controller.supervision.permissives import Name, Permissive
from controller.supervision.readiness import (
    ReadinessLine,
    ReadinessReport,
    ReadinessState,
    observe,
    report,
)
from plant_models.signals import MV, LineState
from tests.controller.kit import PERIOD, START, TABLE, TARGETS
from tests.controller.supervision.advice_kit import (
    NOMINAL,
    STEP,
    estimate,
    forecast,
    plan,
    snapshot,
    validated,
)

CONFIG = ReadinessConfig(least_cycles=20, look_ahead_s=60.0, window_s=600.0)
WEIGHT, STRENGTH = CV.TABLET_WEIGHT.value, CV.TENSILE_STRENGTH.value


class Watch:
    """Cycles of ADVISORY, one after the other."""

    def __init__(self, config: ReadinessConfig = CONFIG) -> None:
        self.config, self.state, self.cycle = config, ReadinessState(), 0
        self.actual = dict(NOMINAL)
        self.targets = TARGETS
        self.given: Forecast | None = None
        self.lots: tuple[str, ...] | None = None

    def step(
        self,
        now: Mapping[str, float] | None = None,
        *,
        free: Mapping[str, float] | None = None,
        planned: Mapping[str, float] | None = None,
        reached_by: ReachedBy = ReachedBy.FAST,
        converged: bool = True,
        lost: Iterable[Name] = (),
        mode: Mode = Mode.ADVISORY,
        line_state: LineState = LineState.RUNNING,
        sample: LabSample | None = None,
        solve_ms: float | None = None,
        estimated: bool = True,
    ) -> None:
        self.cycle += 1
        seen = snapshot(self.cycle, self.actual)
        data = validated(seen, line_state=line_state)
        if self.lots is not None:
            data = replace(data, lots=self.lots)
        if sample is not None:
            data = replace(data, samples=(sample,))
        bad = set(lost)
        self.state = observe(
            self.state,
            plan=plan(seen, {}, reached_by=reached_by),
            forecast=(self.given or forecast(free, planned)) if estimated else None,
            estimate=estimate(now, converged=converged) if estimated else None,
            validated=data,
            targets=self.targets,
            permissives=[
                Permissive(name=n, good=n not in bad, text="", since=0.0, lost_cycles=0)
                for n in Name
            ],
            mode=mode,
            time=seen.time,
            period_s=PERIOD,
            table=TABLE,
            config=self.config,
            solve_ms=solve_ms,
        )

    def report(self) -> ReadinessReport:
        return report(self.state, self.config)

    def line(self, name: str) -> ReadinessLine:
        (found,) = [line for line in self.report().lines if line.name == name]
        return found


def weights(mean: float) -> LabSample:
    off = (-0.5e-6, 0.5e-6) * 5
    return LabSample(
        number=1,
        taken=0.0,
        weights=tuple(mean + d for d in off),
        thicknesses=(3e-3,) * 10,
        forces=(80.0,) * 10,
    )


def test_a_controller_that_foresees_what_comes_is_ready() -> None:
    watch = Watch()
    for _ in range(60):
        watch.step(solve_ms=40.0)
    found = watch.report()
    assert (found.ready, found.text) == (True, "ready")
    assert json.loads(found.as_json())["ready"] is True
    assert [line.name for line in found.lines] == [
        "cycles in ADVISORY",
        *(
            f"{what} {name}"
            for name in ("potency", "tablet weight", "tensile strength", "throughput")
            for what in ("forecast error of", "coverage of")
        ),
        "gain against the operator's settings",
        "plans by a solver",
        "estimator converged",
        "permissives",
        "time to solve",
    ]


def test_nothing_is_ready_before_there_is_evidence() -> None:
    watch = Watch()
    assert not watch.report().ready
    for _ in range(19):
        watch.step()
    assert not watch.report().ready
    assert "cycles in ADVISORY: 19 cycles" in watch.report().text


def test_the_error_is_that_of_the_forecast_for_now_in_the_plant_unit() -> None:
    watch = Watch()
    for _ in range(12):
        watch.step(free={WEIGHT: 200e-6})
    for _ in range(30):
        watch.step({WEIGHT: 203e-6}, free={WEIGHT: 202e-6})
    found = watch.line("forecast error of tablet weight")
    expected = ((12 * 3.0**2 + 18 * 1.0**2) / 30) ** 0.5
    assert (found.unit, found.goal) == ("mg", "at most 1.8")
    assert found.value == pytest.approx(expected)
    assert not found.good
    assert "30 forecasts" in found.text and "mean +1.8 mg" in found.text
    covered = watch.line("coverage of tablet weight")
    assert (covered.value, covered.good) == (0.0, False)


def test_a_forecast_is_judged_at_its_time_and_not_if_it_ends_before() -> None:
    rising = forecast()
    free = 200e-6 + 1e-9 * rising.times  # 60 s ahead: 60 ng more
    rising = Forecast(times=rising.times, series={WEIGHT: (free, free, 0.0 * free)})
    for length, errors in ((120, True), (12, True), (11, False)):
        watch = Watch()
        watch.given = Forecast(
            times=rising.times[:length],
            series={cv: tuple(r[:length] for r in rows) for cv, rows in rising.series.items()},  # type: ignore[misc]
        )
        for _ in range(30):
            watch.step()
        found = [x for x in watch.report().lines if x.name == "forecast error of tablet weight"]
        assert bool(found) is errors
        assert [x.value for x in found] == [pytest.approx(0.06)] * errors


def test_coverage_is_the_share_of_intervals_that_held() -> None:
    watch = Watch()
    for k in range(42):
        watch.step({WEIGHT: 200e-6 + (0.9e-6 if k % 3 == 0 else 0.7e-6)})
    assert watch.line("coverage of tablet weight").value == pytest.approx(100.0 * 2 / 3)


def test_what_the_operator_has_touched_is_not_held_against_the_forecast() -> None:
    watch = Watch()
    for _ in range(30):
        watch.step()
    judged = watch.line("coverage of tensile strength").text
    watch.actual[MV.THICKNESS] += STEP[MV.THICKNESS]
    for _ in range(10):
        watch.step({STRENGTH: 1.5e6, WEIGHT: 170e-6})
    assert watch.line("coverage of tensile strength").text == judged
    assert watch.line("forecast error of tablet weight").value == pytest.approx(0.0, abs=1e-9)
    assert "28 judged" in watch.line("coverage of potency").text


def test_what_the_plc_s_own_loop_moves_is_part_of_the_forecast() -> None:
    watch, name = Watch(), f"coverage of {CV.THROUGHPUT.value}"
    for loops, judged in (((), "18 judged"), ((MV.TURRET_SPEED,), "48 judged")):
        watch = Watch()
        watch.given = replace(forecast(), loops=loops)
        for k in range(60):
            watch.step()
            watch.actual[MV.TURRET_SPEED] += STEP[MV.TURRET_SPEED] if k >= 29 else 0.0
        assert judged in watch.line(name).text, loops


def test_a_new_lot_is_not_held_against_forecasts_made_before_it() -> None:
    watch = Watch()
    for k in range(60):
        watch.lots = ("F-2",) if k >= 40 else ("F-1",)
        watch.step({WEIGHT: 180e-6 if 40 <= k < 52 else 200e-6})
    found = watch.line("coverage of tablet weight")
    assert (found.value, "36 judged" in found.text) == (100.0, True)
    assert watch.line("forecast error of tablet weight").value == pytest.approx(0.0, abs=1e-9)


def test_the_gain_compares_what_was_planned_with_what_came_to_pass() -> None:
    watch = Watch()
    for _ in range(60):
        off = {WEIGHT: 204e-6}
        watch.step(off, free=off, planned={WEIGHT: 201e-6})
    found = watch.line("gain against the operator's settings")
    share = 0.003 * 200e-6
    real, planned = (4e-6 / share) ** 2 / 4, (1e-6 / share) ** 2 / 4
    assert found.value == pytest.approx(100.0 * (real - planned) / real)
    assert found.good and f"{real:.3g} came to pass" in found.text


def test_a_plan_that_would_do_worse_than_the_operator_is_not_ready() -> None:
    watch = Watch()
    for _ in range(60):
        watch.step(planned={WEIGHT: 204e-6})
    found = watch.line("gain against the operator's settings")
    assert found.value is not None and found.value < -100.0
    assert not found.good and not watch.report().ready


def test_what_forecasts_miss_counts_against_the_plan() -> None:
    watch = Watch()
    for k in range(80):
        watch.step({WEIGHT: 203e-6 if k % 2 else 197e-6})
    found = watch.line("gain against the operator's settings")
    assert found.value == pytest.approx(0.0, abs=1e-6)


def test_a_cost_over_a_change_of_target_is_not_compared() -> None:
    watch = Watch()
    for _ in range(13):
        watch.step()
    watch.targets = replace(TARGETS, set_points={**TARGETS.set_points, WEIGHT: 210e-6})
    before = watch.state.open.copy()
    watch.step()
    gained = watch.state.open - before
    assert gained[:20].sum() > 0.0
    assert gained[20:23].tolist() == [0.0, 0.0, 0.0]


def test_samples_of_the_tester_judge_the_forecast_for_when_they_were_taken() -> None:
    watch = Watch()
    for k in range(120):
        sample = None
        if k in (60, 80, 100):
            taken = START + PERIOD * (k + 1) - 120.0
            sample = replace(weights(201e-6), taken=taken)
        watch.step(free={WEIGHT: 200e-6 + 1e-9 * k}, sample=sample)
    found = watch.line("tablet weight at the tester")
    missed = [1.0 - 1e-3 * (k - 36) for k in (60, 80, 100)]  # forecast 36 cycles before each
    assert found.value == pytest.approx(sum(m**2 for m in missed) ** 0.5 / 3**0.5)
    assert found.good and "3 samples" in found.text and "0 within" in found.text


def test_health_is_the_share_of_cycles() -> None:
    watch = Watch()
    for k in range(40):
        watch.step(
            reached_by=ReachedBy.HOLD if k % 4 == 0 else ReachedBy.REFERENCE,
            converged=k % 2 == 0,
            lost={Name.PERMIT} if k < 10 else {Name.PLC_MODE, Name.OPERATOR},
            solve_ms=2000.0 if k == 0 else 50.0,
        )
    assert watch.line("plans by a solver").value == pytest.approx(75.0)
    assert watch.line("plans by a solver").text == "0 % fast"
    assert watch.line("estimator converged").value == pytest.approx(50.0)
    assert watch.line("permissives").value == pytest.approx(75.0)
    slow = watch.line("time to solve").value
    assert slow is not None and 2000.0 <= slow <= 2300.0


def test_conventional_control_is_judged_by_what_it_has() -> None:
    watch = Watch()
    for _ in range(30):
        watch.step(estimated=False, reached_by=ReachedBy.BASELINE)
    found = watch.report()
    assert [line.name for line in found.lines] == [
        "cycles in ADVISORY",
        "plans by a solver",
        "permissives",
    ]
    assert found.ready


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.ADVISORY])
def test_only_advisory_counts_and_forecasts_do_not_outlive_it(mode: Mode) -> None:
    watch = Watch()
    for _ in range(15):
        watch.step()
    counted = watch.line("cycles in ADVISORY").value
    watch.step(mode=mode)
    assert watch.state.pending == ()
    assert watch.line("cycles in ADVISORY").value == counted


def test_a_standing_line_does_not_count() -> None:
    watch = Watch()
    for _ in range(15):
        watch.step(line_state=LineState.HELD)
    assert watch.line("cycles in ADVISORY").value == 0.0


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    watch = Watch(CONFIG.model_copy(update={"sample_delay_max_s": 60.0}))
    for _ in range(400):
        watch.step({WEIGHT: 210e-6})
    size = len(pickle.dumps(watch.state))
    for _ in range(400):
        watch.step()
    assert len(pickle.dumps(watch.state)) == pytest.approx(size, rel=0.05)
    assert len(watch.state.pending) <= 26
    assert watch.line("forecast error of tablet weight").value == pytest.approx(0.0, abs=1e-9)
    cycles = watch.line("cycles in ADVISORY").value
    assert cycles is not None and 600.0 <= cycles * PERIOD <= 720.0


def test_plant_time_that_goes_back_is_survived() -> None:
    watch = Watch()
    for _ in range(40):
        watch.step()
    watch.cycle -= 20
    for _ in range(40):
        watch.step()
    times = [p.time for p in watch.state.pending]
    assert times == sorted(times)
    assert watch.report().ready


def test_a_window_that_no_forecast_fits_into_is_refused() -> None:
    with pytest.raises(ValueError, match="no forecast is ever judged"):
        ReadinessConfig(window_s=120.0, look_ahead_s=180.0)
