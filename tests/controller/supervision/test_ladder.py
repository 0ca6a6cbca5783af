"""Loss ladder: who is lost when, what is given up when its time is up, and how it comes back."""

from __future__ import annotations

from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data import CV, Estimate, LabSample, Measurement, Validated, Verdict
from controller.ladder_config import AllowanceConfig, LadderConfig
from controller.measurement.health import HealthReport
from controller.measurement.ne107 import DEFECTS, Defect, DefectAction, SignalHealth
from controller.supervision.ladder import LadderReport, LadderState, climb, heed
from controller.supervision.loss_table import LOSS_LADDER, Divert, LossRow
from controller.validation import ValidationState, Validator
from plant_models.signals import LAB, MV, PlcMode
from tests.controller.kit import PERIOD, TABLE, TinyPlant, controller_config
from tests.controller.measurement.kit import estimate

DIAMETER = 8e-3
ROWS = {row.name: row for row in LOSS_LADDER}
INSTRUMENTS = [row for row in LOSS_LADDER if row.name != "lab"]


class Steps:
    """A healthy line but for what a test says of one instrument, through the ladder."""

    def __init__(self, **allowed: float) -> None:
        self.config = LadderConfig(allowed=AllowanceConfig(**allowed))  # type: ignore[arg-type]
        validator = Validator(TABLE, controller_config().validation, PlcMode.CASCADE)
        plant = TinyPlant()
        self.base, _ = validator.validate(plant.snapshot(), ValidationState())
        self.state, self.time = LadderState(), 0.0
        self.report = LadderReport()

    def go(
        self,
        seconds: float,
        row: LossRow | None = None,
        defect: Defect = Defect.NONE,
        deviation: float | None = None,
        *,
        running: bool = True,
        confirmed: frozenset[str] = frozenset(),
        sample: LabSample | None = None,
        known: Estimate | None = None,
    ) -> LadderReport:
        for _ in range(round(seconds / PERIOD)):
            self.time += PERIOD
            seen, health = self._cycle(row, defect, deviation, sample)
            self.state, self.report = climb(
                self.state,
                seen,
                health,
                self.config,
                time=self.time,
                line_running=running,
                diameter=DIAMETER,
                estimate=known,
                confirmed=confirmed,
            )
        return self.report

    def _cycle(
        self,
        row: LossRow | None,
        defect: Defect,
        deviation: float | None,
        sample: LabSample | None,
    ) -> tuple[Validated, HealthReport]:
        measurements = dict(self.base.measurements)
        signals: dict[str, SignalHealth] = {}
        deviations: dict[str, float] = {}
        if row is not None and row.name != "lab":
            tag = row.tags[0]
            if DEFECTS[defect].action is DefectAction.SUBSTITUTE:
                measurements[tag] = Measurement(
                    value=0.0, weight=0.0, verdict=Verdict.DROP, reason="x", source_time=0.0
                )
            entry = DEFECTS[defect]
            signals[tag] = SignalHealth(
                category=entry.category, defect=defect, action=entry.action, since=0.0, text=""
            )
            if deviation is not None:
                deviations[tag] = deviation
        samples = () if sample is None else (sample,)
        seen = replace(self.base, measurements=measurements, samples=samples, time=self.time)
        return seen, HealthReport(signals=signals, deviations=deviations)


def lab_sample(number: int, taken: float, weight: float = 200e-6, force: float = 94.0) -> LabSample:
    """Ten equal tablets."""
    return LabSample(
        number=number,
        taken=taken,
        weights=(weight,) * 10,
        thicknesses=(3.32e-3,) * 10,
        forces=(force,) * 10,
    )


def test_the_defaults_are_those_of_the_specification() -> None:
    config = LadderConfig()
    allowed = {name: row.allowed_s(config) for name, row in ROWS.items()}
    assert allowed["nir"] == 600.0
    assert allowed["lab"] == 2 * config.lab_period_s
    assert allowed["main_force"] == 0.0
    assert set(allowed) == {
        "nir",
        "lab",
        "main_force",
        "pre_force",
        "api_load_cell",
        "filler_load_cell",
        "lubricant_load_cell",
        "chute_level",
    }


def test_total_feed_and_turret_speed_are_never_frozen_together() -> None:
    for row in LOSS_LADDER:
        assert not {MV.TOTAL_FEED, MV.TURRET_SPEED} <= set(row.mvs_frozen)
    assert MV.TURRET_SPEED not in {mv for row in LOSS_LADDER for mv in row.mvs_frozen}


def test_a_healthy_line_loses_nothing() -> None:
    steps = Steps()
    report = steps.go(3600.0)
    assert report == LadderReport()
    assert heed(steps.base, report) is steps.base


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_a_bad_status_is_a_loss_at_once(row: LossRow) -> None:
    report = Steps().go(PERIOD, row, Defect.BAD_STATUS)
    assert [loss.name for loss in report.lost] == [row.name]
    assert set(row.tags) <= report.held


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_readings_that_may_be_odd_are_a_loss_only_when_they_last(row: LossRow) -> None:
    steps = Steps()
    steps.go(PERIOD)
    wait = row.lost_after_s(steps.config)
    assert steps.go(wait - PERIOD, row, Defect.SPIKE).lost == ()
    assert steps.go(PERIOD, row, Defect.SPIKE).lost != ()


@pytest.mark.parametrize("defect", [Defect.CONTEXT, Defect.NOT_NEW])
@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_what_cannot_be_measured_now_is_not_lost(row: LossRow, defect: Defect) -> None:
    assert Steps().go(600.0, row, defect).lost == ()


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_until_its_time_is_up_the_twin_stands_in_and_then_the_row_holds(row: LossRow) -> None:
    steps = Steps()
    allowed = row.allowed_s(steps.config)
    first = steps.go(PERIOD, row, Defect.BAD_STATUS)
    if allowed:
        assert first.lost[0].action is DefectAction.SUBSTITUTE
        assert (first.cvs_dropped, first.mvs_frozen, first.shed) == (frozenset(),) * 2 + ("",)
        assert first.divert is (row.divert is Divert.AT_ONCE)
        assert first.good
        before = steps.go(allowed - PERIOD, row, Defect.BAD_STATUS)
        assert not before.lost[0].expired
    after = steps.go(PERIOD, row, Defect.BAD_STATUS)
    assert after.lost[0].expired
    assert not after.good
    assert after.cvs_dropped == set(row.cvs_dropped)
    assert after.mvs_frozen == set(row.mvs_frozen)
    assert after.divert is (row.divert is not Divert.NEVER)
    assert bool(after.shed) is row.sheds
    expected = DefectAction.SHED if row.sheds else DefectAction.DEGRADE
    assert after.lost[0].action is expected


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_a_good_status_alone_never_restores(row: LossRow) -> None:
    steps = Steps()
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    report = steps.go(3600.0, row, Defect.NONE, deviation=None)
    assert [loss.name for loss in report.lost] == [row.name]
    seen = heed(steps.base, report)
    assert seen.measurements[row.tags[0]].weight == 0.0


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_agreement_for_enough_readings_restores(row: LossRow) -> None:
    steps = Steps()
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    needed = steps.config.return_readings
    report = steps.go(PERIOD * (needed - 1), row, deviation=0.01)
    assert report.lost != ()
    report = steps.go(PERIOD, row, deviation=0.01)
    assert report.lost == ()
    assert report.returned == (row.name,)
    assert steps.go(PERIOD, row, deviation=0.01) == LadderReport()


@pytest.mark.parametrize("row", INSTRUMENTS, ids=lambda r: r.name)
def test_what_disagrees_stays_away_until_it_agrees(row: LossRow) -> None:
    steps = Steps()
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    assert steps.go(600.0, row, deviation=0.5).lost != ()
    assert steps.go(600.0, row, deviation=0.0).lost == ()


def test_an_interrupted_trial_begins_again() -> None:
    steps, row = Steps(), ROWS["nir"]
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    steps.go(PERIOD * 11, row, deviation=0.0)
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    assert steps.go(PERIOD * 11, row, deviation=0.0).lost != ()
    assert steps.go(PERIOD, row, deviation=0.0).lost == ()


def test_somebody_who_checked_it_restores_it() -> None:
    steps, row = Steps(), ROWS["chute_level"]
    steps.go(PERIOD, row, Defect.BAD_STATUS)
    report = steps.go(PERIOD, row, deviation=None, confirmed=frozenset({row.name}))
    assert report.lost == ()
    assert report.returned == (row.name,)


def test_while_the_line_stands_no_time_passes_and_nothing_is_judged() -> None:
    steps, row = Steps(), ROWS["nir"]
    assert steps.go(1200.0, row, Defect.BAD_STATUS, running=False).lost == ()
    steps.go(300.0, row, Defect.BAD_STATUS)
    report = steps.go(1200.0, row, Defect.BAD_STATUS, running=False)
    assert [loss.name for loss in report.lost] == ["nir"]
    assert not report.lost[0].expired
    assert steps.go(305.0, row, Defect.BAD_STATUS).lost[0].expired


@pytest.mark.parametrize("name", ["main_force", "api_load_cell", "filler_load_cell"])
def test_what_lies_to_the_plants_own_loop_has_no_time(name: str) -> None:
    report = Steps().go(PERIOD, ROWS[name], Defect.FROZEN)
    assert report.lost[0].expired
    assert report.divert
    honest = Steps().go(PERIOD, ROWS["filler_load_cell"], Defect.BAD_STATUS)
    assert not honest.divert


def test_what_the_ladder_answers_for_is_not_missing_any_more() -> None:
    steps, row = Steps(), ROWS["api_load_cell"]
    report = steps.go(PERIOD, row, Defect.BAD_STATUS)
    lacking = replace(steps.base, missing=(row.tags[0], "Line/PLC/HB"), enough=False)
    assert heed(lacking, report).missing == ("Line/PLC/HB",)
    assert not heed(lacking, report).enough
    lacking = replace(steps.base, missing=row.tags, enough=False)
    assert heed(lacking, report).enough


def _lab(steps: Steps, seconds: float, **more: object) -> LadderReport:
    return steps.go(seconds, None, **more)  # type: ignore[arg-type]


def test_the_laboratory_may_miss_two_samples() -> None:
    steps = Steps()
    steps.time = 1000.0
    _lab(steps, PERIOD, sample=lab_sample(1, 885.0))
    assert _lab(steps, 355.0).lost == ()
    late = _lab(steps, 10.0)
    assert [loss.name for loss in late.lost] == ["lab"]
    assert not late.lost[0].expired
    assert late.held == frozenset()
    assert not _lab(steps, 600.0).lost[0].expired
    gone = _lab(steps, PERIOD)
    assert gone.lost[0].expired
    assert gone.divert
    assert gone.cvs_dropped == {CV.TENSILE_STRENGTH}
    assert gone.mvs_frozen == {MV.THICKNESS}


def test_a_late_sample_counts_as_any_other() -> None:
    steps = Steps()
    _lab(steps, PERIOD, sample=lab_sample(1, 0.0))
    assert _lab(steps, 600.0).lost != ()
    assert _lab(steps, PERIOD, sample=lab_sample(3, steps.time - 120.0, weight=150e-6)).lost == ()


def test_after_that_only_a_sample_that_agrees_with_the_estimate_restores() -> None:
    steps = Steps()
    _lab(steps, PERIOD, sample=lab_sample(1, 0.0))
    assert _lab(steps, 1200.0).lost[0].expired
    for wrong in (lab_sample(5, 0.0, weight=190e-6), lab_sample(6, 0.0, force=70.0)):
        report = _lab(steps, PERIOD, sample=wrong, known=estimate())
        assert report.lost != ()
        assert LAB.WEIGHT in report.held
    assert _lab(steps, PERIOD, sample=lab_sample(7, 0.0)).lost != ()
    assert _lab(steps, PERIOD, sample=lab_sample(8, 0.0), known=estimate()).lost == ()


def test_a_laboratory_that_never_reported_is_not_in_service() -> None:
    assert _lab(Steps(), 7200.0).lost == ()


def test_no_force_longer_than_its_loop_can_bear() -> None:
    with pytest.raises(ValueError, match=r"30 s at most"):
        AllowanceConfig(main_force_s=60.0)


def test_rows_that_the_line_lacks_and_a_ladder_that_is_off_are_silent() -> None:
    steps = Steps()
    steps.config = LadderConfig(rows_off=("nir",))
    assert steps.go(900.0, ROWS["nir"], Defect.BAD_STATUS).lost == ()
    steps.config = LadderConfig(enabled=False)
    assert steps.go(900.0, ROWS["main_force"], Defect.BAD_STATUS).lost == ()


def test_without_an_estimate_two_samples_must_agree_with_each_other() -> None:
    steps = Steps()
    _lab(steps, PERIOD, sample=lab_sample(1, 0.0))
    assert _lab(steps, 1200.0).lost[0].expired
    assert _lab(steps, PERIOD, sample=lab_sample(5, 0.0)).lost != ()
    assert _lab(steps, PERIOD, sample=lab_sample(6, 0.0, weight=190e-6)).lost != ()
    assert _lab(steps, PERIOD, sample=lab_sample(7, 0.0, weight=191e-6)).lost == ()


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(LOSS_LADDER),
        st.sampled_from(list(Defect)),
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
        st.booleans(),
        st.integers(1, 40),
    ),
    max_size=12,
)


@hypothesis.settings(max_examples=40)
@given(_EVENTS)
def test_no_loss_ends_without_its_check_and_what_is_held_has_no_weight(
    events: list[tuple[LossRow, Defect, float | None, bool, int]],
) -> None:
    steps, lost = Steps(), set[str]()
    for row, defect, deviation, running, cycles in events:
        for _ in range(cycles):
            report = steps.go(PERIOD, row, defect, deviation, running=running)
            now = {loss.name for loss in report.lost}
            assert lost - now == set(report.returned)
            if not running:
                assert now == lost
            lost = now
            seen = heed(steps.base, report)
            assert all(
                seen.measurements[t].weight == 0.0 for t in report.held & seen.measurements.keys()
            )
            assert not {MV.TOTAL_FEED, MV.TURRET_SPEED} <= report.mvs_frozen
            assert bool(report.shed) is any(
                loss.expired and ROWS[loss.name].sheds for loss in report.lost
            )
