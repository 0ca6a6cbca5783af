"""Validation: every check drops for its reason, SI comes out, too little left is said."""

import math
from dataclasses import dataclass, field

import pytest

from controller.config import SourceClockConfig, TagRuleConfig, ValidationConfig
from controller.data import LabSample, Measurement, Validated, Verdict
from controller.validation import POTENCY, TABLET_RATE, ValidationState, Validator
from plant_models.signals import (
    BAD,
    LAB,
    MV,
    PLC,
    UNCERTAIN,
    LineState,
    PlcMode,
    RefillPhase,
    Snapshot,
)
from tests.controller.kit import PERIOD, TABLE, TinyPlant, controller_config

FORCE = "Line/Press/MainForce/PV"
LEVEL = "Line/Chute/Level/PV"
WEIGHT_1 = "Line/Feeder1/Weight/PV"
FLOW_1 = "Line/Feeder1/MassFlow/PV"


@dataclass
class Bench:
    """A plant and its validation, cycle by cycle."""

    config: ValidationConfig = field(default_factory=lambda: controller_config().validation)
    plant: TinyPlant = field(default_factory=TinyPlant)
    state: ValidationState = field(default_factory=ValidationState)
    structure: PlcMode = PlcMode.CASCADE

    def __post_init__(self) -> None:
        self.validator = Validator(TABLE, self.config, self.structure)

    def next(self, seconds: int = PERIOD) -> Validated:
        self.plant.tick(seconds)
        return self.see(self.plant.snapshot())

    def see(self, snapshot: Snapshot) -> Validated:
        validated, self.state = self.validator.validate(snapshot, self.state)
        return validated

    def read(self, tag: str, value: object) -> Measurement:
        self.plant.values[tag] = value  # type: ignore[assignment]
        return self.next().measurements[tag]


def warm(bench: Bench, cycles: int = 6) -> Bench:
    for _ in range(cycles):
        bench.next()
    return bench


def test_good_readings_are_used_in_si() -> None:
    seen = Bench().next()
    assert seen.measurements[FORCE].value == pytest.approx(7250.0, rel=1e-3)
    assert seen.measurements[FLOW_1].value == pytest.approx(2.0 / 3600, rel=1e-3)
    assert seen.measurements[POTENCY].value == pytest.approx(1.0, rel=1e-3)
    assert seen.actual[MV.TURRET_SPEED] == pytest.approx(46.3 / 60)
    assert seen.feeder_rates == pytest.approx([x / 3600 for x in (2.0, 17.8, 0.2)])
    assert {m.verdict for m in seen.measurements.values()} == {Verdict.USE}
    assert seen.enough and seen.missing == ()


@pytest.mark.parametrize("value", [math.nan, math.inf, "7.2", None])
def test_what_is_no_number_is_dropped(value: object) -> None:
    m = warm(Bench()).read(FORCE, value)
    assert (m.verdict, m.weight) == (Verdict.DROP, 0.0)


def test_a_bad_status_drops_and_an_uncertain_one_weighs_less() -> None:
    bench = warm(Bench())
    bench.plant.status[FORCE] = BAD
    m = bench.next().measurements[FORCE]
    assert (m.weight, m.reason) == (0.0, "bad status")
    bench.plant.status[FORCE] = UNCERTAIN
    m = bench.next().measurements[FORCE]
    assert (m.verdict, m.weight) == (Verdict.DOWN_WEIGHT, 0.25)


def test_an_old_reading_and_one_from_the_future_are_dropped() -> None:
    bench = warm(Bench())
    bench.plant.stale[FORCE] = 100.0
    assert bench.next().measurements[FORCE].reason == "100 s old"
    bench.plant.stale[FORCE] = -100.0
    assert bench.next().measurements[FORCE].reason == "100 s in the future"


def test_the_same_sample_counts_once() -> None:
    bench = warm(Bench())
    bench.plant.stale[POTENCY] = PERIOD * 1.0
    m = bench.next().measurements[POTENCY]
    assert (m.weight, m.reason) == (0.0, "no new reading")
    assert bench.next().measurements[POTENCY].weight == 1.0


def test_a_reading_outside_its_range_is_dropped() -> None:
    assert warm(Bench()).read(FORCE, 25.0).reason == "outside 0.1..20"


def test_one_spike_is_dropped_and_the_next_good_reading_used() -> None:
    bench = warm(Bench())
    assert bench.read(FORCE, 11.0).reason.startswith("spike")
    assert bench.read(FORCE, 7.25).verdict is Verdict.USE


def test_a_step_that_stays_is_believed_at_the_configured_reading() -> None:
    bench = warm(Bench())
    weights = [bench.read(FORCE, 11.0).weight for _ in range(4)]
    assert weights == [0.0, 0.0, 1.0, 1.0]


def test_spikes_that_do_not_agree_are_never_believed() -> None:
    bench = warm(Bench())
    seen = [bench.read(FORCE, x).weight for x in (11.0, 3.0, 12.0, 4.0, 15.0)]
    assert seen == [0.0] * 5


def test_an_incredible_slope_is_dropped() -> None:
    rules = (TagRuleConfig(tags=LEVEL, rate_per_s=0.1),)
    bench = warm(Bench(config=ValidationConfig(rules=rules), plant=TinyPlant(noisy=False)))
    assert bench.read(LEVEL, 50.4).verdict is Verdict.USE
    assert bench.read(LEVEL, 52.0).reason == "slope above 0.1 per second"


def test_a_frozen_sensor_is_dropped_and_comes_back() -> None:
    rules = (TagRuleConfig(tags=LEVEL, freeze_readings=4),)
    bench = Bench(config=ValidationConfig(rules=rules), plant=TinyPlant(noisy=False))
    weights = [bench.read(LEVEL, 50.0).weight for _ in range(6)]
    assert weights == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert bench.read(LEVEL, 50.1).weight == 1.0


@pytest.mark.parametrize(
    ("phase", "weight_used", "flow_used"),
    [("none", 1, 1), ("request", 1, 1), ("active", 0, 0), ("settling", 1, 0), ("nonsense", 1, 0)],
)
def test_feeder_readings_count_by_the_phase_of_the_refill(
    phase: str, weight_used: int, flow_used: int
) -> None:
    bench = warm(Bench())
    bench.plant.values["Line/Feeder1/Refill/PV"] = phase
    seen = bench.next()
    assert seen.measurements[WEIGHT_1].weight == weight_used
    assert seen.measurements[FLOW_1].weight == flow_used
    assert seen.measurements["Line/Feeder2/MassFlow/PV"].weight == 1.0


def test_a_hopper_that_was_filled_is_no_spike() -> None:
    bench = warm(Bench())
    bench.plant.values["Line/Feeder1/Refill/PV"] = "active"
    for _ in range(5):
        bench.next()
    bench.plant.values["Line/Feeder1/Refill/PV"] = "settling"
    assert bench.read(WEIGHT_1, 4.6).verdict is Verdict.USE


def test_a_refill_however_long_leaves_enough() -> None:
    bench = warm(Bench())
    bench.plant.values["Line/Feeder1/Refill/PV"] = "active"
    assert all(bench.next().enough for _ in range(40))


def test_forces_of_a_standing_press_are_dropped() -> None:
    bench = warm(Bench())
    bench.plant.values[f"{MV.TURRET_SPEED}/FBK"] = 0.0
    assert bench.next().measurements[FORCE].reason == "press stands"


def test_what_a_standing_press_holds_does_not_count_as_frozen() -> None:
    rules = (TagRuleConfig(tags=FORCE, freeze_readings=4, needs_flowing_press=True),)
    bench = Bench(config=ValidationConfig(rules=rules), plant=TinyPlant(noisy=False))
    turret = f"{MV.TURRET_SPEED}/FBK"
    running = bench.plant.values[turret]
    assert [bench.next().measurements[FORCE].reason for _ in range(3)] == [""] * 3
    bench.plant.values[turret] = 0.0
    assert {bench.next().measurements[FORCE].reason for _ in range(10)} == {"press stands"}
    bench.plant.values[turret] = running
    reasons = [bench.next().measurements[FORCE].reason for _ in range(3)]
    assert reasons == ["", "", "frozen for 4 readings"]


def test_a_press_without_a_turret_speed_stands_when_it_makes_no_tablets() -> None:
    bench = warm(Bench())
    bench.plant.values[TABLET_RATE] = 0.0
    assert bench.next().measurements[FORCE].reason == ""
    bench.plant.status[f"{MV.TURRET_SPEED}/FBK"] = BAD
    assert bench.next().measurements[FORCE].reason == "press stands"
    bench.plant.values[TABLET_RATE] = 600.0
    assert bench.next().measurements[FORCE].reason == ""
    bench.plant.status[TABLET_RATE] = BAD
    assert bench.next().measurements[FORCE].reason == ""


def test_a_lost_required_measurement_is_missed_after_its_grace() -> None:
    bench = warm(Bench())
    bench.plant.status[FORCE] = BAD
    enough = [bench.next().enough for _ in range(8)]
    assert enough == [True] * 6 + [False] * 2
    assert bench.next().missing == (FORCE,)


def test_a_measurement_that_nobody_requires_may_be_lost() -> None:
    bench = warm(Bench())
    bench.plant.status[POTENCY] = BAD
    assert all(bench.next().enough for _ in range(30))


def test_an_unreadable_set_point_keeps_its_value_and_may_not_be_moved() -> None:
    bench = warm(Bench())
    bench.plant.status[f"{MV.THICKNESS}/ACT"] = BAD
    seen = bench.next()
    assert seen.actual[MV.THICKNESS] == pytest.approx(3.084e-3)
    assert not seen.available[MV.THICKNESS]
    assert seen.missing == (f"{MV.THICKNESS}/ACT",)


def test_the_plant_says_which_set_points_may_be_moved() -> None:
    bench = warm(Bench())
    bench.plant.values[f"{MV.TURRET_SPEED}/AVAIL"] = False
    seen = bench.next()
    assert [tag for tag, free in seen.available.items() if not free] == [MV.TURRET_SPEED]


def test_states_of_the_plant_are_read_and_unreadable_ones_assumed_worst() -> None:
    bench = Bench()
    bench.plant.grant()
    seen = bench.next()
    assert (seen.plc_mode, seen.line_state, seen.permit) == (
        PlcMode.CASCADE,
        LineState.RUNNING,
        True,
    )
    assert seen.refills == (RefillPhase.NONE,) * 3
    assert seen.lots == ("A",) * 3
    for tag in (PLC.MODE_ACT, PLC.LINE_STATE, PLC.PERMIT, "Line/Feeder2/Refill/PV"):
        bench.plant.status[tag] = BAD
    bench.plant.status["Line/Feeder2/Lot/PV"] = BAD
    seen = bench.next()
    assert (seen.plc_mode, seen.line_state, seen.permit) == (
        PlcMode.LOCAL,
        LineState.STOPPED,
        False,
    )
    assert seen.refills[1] is RefillPhase.SETTLING
    assert seen.lots[1] == "A"
    assert not seen.enough


def test_an_empty_snapshot_is_judged_without_an_error() -> None:
    seen = Bench().see(Snapshot(time=1.0, scan_id=1, values={}))
    assert not seen.enough
    assert FORCE in seen.missing
    assert (seen.heartbeat, seen.permit) == (-1, False)


def test_no_cycle_changes_the_memory_of_the_one_before() -> None:
    bench = warm(Bench())
    kept, tags = bench.state, dict(bench.state.tags)
    bench.read(FORCE, 11.0)
    assert dict(kept.tags) == tags


def _sample(bench: Bench, number: int, age: float, weights: tuple[float, ...]) -> LabSample | None:
    bench.plant.lab(number, bench.plant.time + PERIOD - age, weights)
    samples = bench.next().samples
    return samples[0] if samples else None


def test_a_lab_sample_counts_once_and_lies_where_it_was_taken() -> None:
    bench = Bench()
    sample = _sample(bench, 7, 120.0, (200.0, 201.0, 199.0))
    assert sample is not None
    assert (sample.number, sample.taken) == (7, bench.plant.time - 120.0)
    assert sample.weights == pytest.approx([200e-6, 201e-6, 199e-6])
    assert sample.thicknesses == pytest.approx([3.32e-3] * 3)
    assert sample.forces == pytest.approx([94.0] * 3)
    assert bench.next().samples == ()
    assert _sample(bench, 8, 120.0, (200.0,)) is not None


@pytest.mark.parametrize("age", [-60.0, 5000.0])
def test_a_lab_sample_of_an_incredible_time_is_dropped(age: float) -> None:
    bench = Bench()
    assert _sample(bench, 7, age, (200.0,)) is None
    assert _sample(bench, 8, 120.0, (200.0,)) is not None


def test_the_testers_clock_is_corrected() -> None:
    clock = SourceClockConfig(offset_s=3600.0, age_max_s=900.0)
    bench = Bench(config=ValidationConfig(lab_clock=clock))
    sample = _sample(bench, 7, 120.0 - 3600.0, (200.0,))
    assert sample is not None
    assert sample.taken == bench.plant.time - 120.0


def test_a_sample_that_is_not_readable_yet_is_taken_when_it_is() -> None:
    bench = Bench()
    bench.plant.status[LAB.FORCE] = BAD
    assert _sample(bench, 7, 120.0, (200.0,)) is None
    bench.plant.status.clear()
    assert [s.number for s in bench.next().samples] == [7]


def test_impossible_tablets_are_left_out_and_half_impossible_samples_dropped() -> None:
    bench = Bench()
    sample = _sample(bench, 7, 120.0, (200.0, 0.0, 198.0))
    assert sample is not None
    assert sample.weights == pytest.approx([200e-6, 198e-6])
    assert len(sample.forces) == 2
    assert _sample(bench, 8, 120.0, (200.0, 0.0, 9999.0)) is None


def test_the_nirs_clock_is_corrected() -> None:
    clock = SourceClockConfig(offset_s=600.0, age_max_s=60.0)
    bench = Bench(config=ValidationConfig(nir_clock=clock))
    bench.plant.stale[POTENCY] = 10.0 - 600.0
    m = bench.next().measurements[POTENCY]
    assert m.verdict is Verdict.USE
    assert m.source_time == bench.plant.time - 10.0


def test_a_plant_clock_that_was_set_back_begins_a_new_memory() -> None:
    """Else nothing would be newer than what was seen, nor missed, until the clock caught up."""
    bench = warm(Bench())
    bench.plant.tick(-3600)
    assert bench.next().measurements[FORCE].verdict is Verdict.USE
    bench.plant.tick(-3600)
    bench.plant.status[FORCE] = BAD
    assert FORCE in bench.next().missing
