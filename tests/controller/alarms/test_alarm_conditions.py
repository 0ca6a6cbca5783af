"""What a cycle finds becomes the alarms of the list, and nothing else does."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controller.alarms.conditions import Facts, Watched
from controller.alarms.engine import State
from controller.alarms.ids import Id
from controller.alarms.requests import AlarmRequest
from controller.alarms.watch import AlarmMemory, AlarmSetup, Watch, alarm_setup, watch
from controller.cycle_data import CycleOutput
from controller.data import Forecast, Interval, Mode, ReachedBy, Relaxation, SteadyReport
from controller.supervision.findings import LinkStatus
from plant_models.signals import BAD, MV, PLC, Snapshot
from tests.controller.kit import OWNED, PERIOD, FilterBrain, Loop

CYCLES = 40  # of 5 s: the line has settled, short delays are over
TEN_MINUTES = 121


@dataclass(frozen=True)
class Lost:
    """An instrument that is lost."""

    name: str = "nir"
    instrument: str = "NIR"
    expired: bool = False
    text: str = "frozen"


@dataclass(frozen=True)
class Ready:
    """A readiness report."""

    ready: bool


@dataclass
class Room:
    """A loop, and its alarms."""

    loop: Loop = field(default_factory=Loop)
    memory: AlarmMemory = field(default_factory=AlarmMemory)
    more: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.setup: AlarmSetup = alarm_setup(
            Watched(
                owned=OWNED,
                instruments={"nir": "NIR", "main_force": "main force"},
                specification={"tablet_weight": (190e-6, 210e-6)},
                period_s=float(PERIOD),
                config=self.loop.config.supervision,
            )
        )

    def see(self, output: CycleOutput, before: Any, *requests: AlarmRequest) -> Watch:
        """The alarms of one cycle."""
        record = output.record
        facts = Facts(
            snapshot=record.snapshot,
            read=record.extra["had_snapshot"],
            before=before,
            after=output.state.supervision,
            link=record.extra["inputs"].link,
            validated=record.validated,
            estimate=record.estimate,
            forecast=record.forecast,
            plan=record.plan,
            command=output.command,
            clock=output.state.plant_clock.text,
        )
        seen = watch(self.memory, replace(facts, **self.more), requests, self.setup)
        self.memory = seen.memory
        self.events += [e.alarm for e in seen.events if e.annunciated]
        return seen

    def cycle(self, *requests: Any, **changes: Any) -> Watch:
        before = self.loop.state.supervision
        return self.see(self.loop.cycle(*requests, **changes), before)

    def cycles(self, number: int) -> Watch:
        for _ in range(number):
            seen = self.cycle()
        return seen

    def close(self) -> None:
        """Up to closed loop on a line that has settled."""
        self.cycle(Mode.ADVISORY)
        self.cycles(CYCLES)
        self.cycle(Mode.CLOSED_LOOP)
        self.cycles(CYCLES)
        assert self.loop.state.mode is Mode.CLOSED_LOOP
        assert self.events == []  # a sound line alarms nobody

    @property
    def shown(self) -> set[str]:
        """Alarms that are shown, alerts too."""
        return {a.id for a in self.memory.alarms.in_alarm()}


@pytest.fixture
def room() -> Room:
    made = Room()
    made.close()
    return made


def test_a_lost_plant_is_one_alarm_and_the_shed_that_follows_is_the_other(room: Room) -> None:
    link = LinkStatus(connected=False, alive=False, note="no answer for 4 s")
    for _ in range(CYCLES):
        room.cycle(snapshot=None, link=link)
    assert room.events == [Id.PLANT_LOST, Id.SHED]
    assert room.memory.alarms.first_out == Id.PLANT_LOST
    assert "no answer for 4 s" in room.memory.alarms.alarms[Id.PLANT_LOST].text


def test_what_sheds_is_named_by_an_alarm_of_its_own(room: Room) -> None:
    room.loop.plant.values[PLC.PERMIT] = False
    room.cycle()
    assert set(room.events) == {Id.INTERLOCK, Id.SHED}
    shed = room.memory.alarms.alarms[Id.SHED]
    assert "no interlock" in shed.text


def test_a_recipe_that_is_not_ours_is_named(room: Room) -> None:
    room.loop.plant.values[PLC.RECIPE_ID] = "R-OTHER"
    room.cycle()
    assert set(room.events) == {Id.LIMITS, Id.SHED}
    assert "R-OTHER" in room.memory.alarms.alarms[Id.LIMITS].text


def test_a_lease_that_is_taken_is_latched(room: Room) -> None:
    room.loop.plant.grant(epoch=77)
    room.cycle()
    assert set(room.events) == {Id.LEASE, Id.SHED}
    room.cycles(3)
    assert room.memory.alarms.alarms[Id.LEASE].state is State.UNACKNOWLEDGED


def test_a_plc_that_sheds_by_itself_says_why(room: Room) -> None:
    room.loop.plant.values |= {
        PLC.SHED_COUNT: 1,
        PLC.SHED_CAUSE: "no accepted command for 15 s",
        PLC.MODE_ACT: "LOCAL",
    }
    room.cycle()
    assert set(room.events) == {Id.WATCHDOG, Id.SHED}
    assert "no accepted command" in room.memory.alarms.alarms[Id.WATCHDOG].text


def test_a_shed_count_that_grows_after_we_let_go_is_no_alarm(room: Room) -> None:
    room.cycle(Mode.ADVISORY)
    room.loop.plant.values |= {PLC.SHED_COUNT: 1, PLC.MODE_ACT: "LOCAL"}
    room.cycles(3)
    assert room.events == []


def test_missing_measurements_are_named_and_explain_the_rest(room: Room) -> None:
    validated = room.loop.outputs[-1].record.validated
    assert validated is not None
    room.more["validated"] = replace(validated, enough=False, missing=("Line/Press/MainForce/PV",))
    room.cycle()  # what follows from it comes with it or later
    room.more |= {"losses": (Lost(),), "doubts": {"main_force": "far off"}}
    room.cycles(CYCLES)
    assert room.events == [Id.MEASUREMENTS]
    assert "MainForce" in room.memory.alarms.alarms[Id.MEASUREMENTS].text


def test_refused_frames_are_an_alarm(room: Room) -> None:
    room.loop.plant.values[PLC.REJECTED_COUNT] = 1
    room.cycle()
    assert room.events == [Id.COMMANDS]
    assert "refused 1 frame" in room.memory.alarms.alarms[Id.COMMANDS].text


@pytest.mark.parametrize("brain", [FilterBrain(converged=False)])
def test_an_estimate_that_does_not_settle(brain: FilterBrain) -> None:
    room = Room(Loop(brain=brain))
    room.cycle(Mode.ADVISORY)
    room.cycles(CYCLES)
    assert room.events == [Id.ESTIMATOR]


def test_a_model_that_fits_badly_for_long(room: Room) -> None:
    estimate = room.loop.outputs[-1].record.estimate
    assert estimate is not None
    room.more["estimate"] = replace(estimate, normalised_innovation=2.1)
    room.cycles(TEN_MINUTES)
    assert room.events == [Id.MISMATCH]
    room.more["estimate"] = replace(estimate, normalised_innovation=1.6)
    room.cycles(CYCLES)
    assert Id.MISMATCH in room.shown  # within the deadband
    room.more["estimate"] = replace(estimate, normalised_innovation=1.4)
    room.cycles(CYCLES)
    assert room.memory.alarms.alarms[Id.MISMATCH].state is State.RETURNED


def test_tablets_out_of_specification(room: Room) -> None:
    estimate = room.loop.outputs[-1].record.estimate
    assert estimate is not None
    bad = {"tablet_weight": Interval(211e-6, 1e-6), "potency": Interval(0.5, 0.1)}
    room.more["estimate"] = replace(estimate, quality=bad)
    room.cycles(4)
    assert room.events == [Id.OUT_OF_SPEC]
    assert room.memory.alarms.alarms[Id.OUT_OF_SPEC].text == "tablet_weight"


def test_old_plans(room: Room) -> None:
    room.loop.setup = replace(room.loop.setup, brain=FilterBrain(reached_by=ReachedBy.SHIFTED))
    room.cycles(4)
    assert room.events == [Id.SOLVER]


def test_missed_cycles(room: Room) -> None:
    room.loop.plant.tick(2 * PERIOD)
    room.cycle()
    assert room.events == [Id.LATE]
    assert room.memory.alarms.alarms[Id.LATE].text == "2"


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_is_noted_once(room: Room, jump: float) -> None:
    """Also where daylight saving begins or ends at the plant."""
    plant = room.loop.plant
    real = type(plant).snapshot

    def jumped() -> Snapshot:
        snapshot = real(plant)
        values = {
            tag: replace(v, source_time=v.source_time + jump) for tag, v in snapshot.values.items()
        }
        return replace(snapshot, time=snapshot.time + jump, values=values)

    plant.snapshot = jumped  # type: ignore[method-assign]
    room.cycles(3)
    clock = room.memory.alarms.alarms[Id.CLOCK]
    assert (clock.count, clock.state) == (1, State.UNACKNOWLEDGED)
    assert f"off by {jump:+.0f} s" in clock.text


@pytest.mark.parametrize(("days", "alarm"), [(31.0, False), (29.0, True), (-1.0, True)])
def test_a_certificate_that_expires_within_30_days(room: Room, days: float, alarm: bool) -> None:
    room.cycle(link=LinkStatus(certificates={"controller": 200.0, "plant": days}))
    assert room.events == [Id.CERTIFICATE] * alarm
    if alarm:
        assert "plant" in room.memory.alarms.alarms[Id.CERTIFICATE].text


def test_a_lost_instrument_and_then_its_time_is_over(room: Room) -> None:
    room.more["losses"] = (Lost(),)
    room.cycles(CYCLES)
    assert room.events == ["instrument-lost.nir"]
    room.more |= {"losses": (Lost(expired=True),), "divert": True}
    room.cycles(2)
    assert room.events == ["instrument-lost.nir", Id.ALLOWANCE, Id.DIVERT]
    room.more |= {"losses": (), "divert": False}
    room.cycles(CYCLES)
    alarms = room.memory.alarms.alarms
    assert alarms["instrument-lost.nir"].state is State.RETURNED
    assert alarms[Id.ALLOWANCE].state is State.UNACKNOWLEDGED  # latched


def test_a_doubtful_instrument_is_hidden_behind_its_loss(room: Room) -> None:
    room.more["doubts"] = {"nir": "drifts"}
    room.cycles(CYCLES)
    assert room.events == ["instrument-doubtful.nir"]
    room.more |= {"doubts": {"main_force": "far off"}, "losses": (Lost("main_force"),)}
    room.cycles(CYCLES)
    assert room.events == ["instrument-doubtful.nir", "instrument-lost.main_force"]


def test_a_doubt_outlives_a_stop_and_is_announced_once(room: Room) -> None:
    """What the health does not judge while the line stands is not well again."""
    room.more["doubts"] = {"nir": "drifts"}
    room.cycles(CYCLES)
    for _ in range(3):
        room.loop.plant.values[PLC.LINE_STATE] = "held"
        room.more["doubts"] = {}
        room.cycles(CYCLES)
        assert room.memory.alarms.alarms["instrument-doubtful.nir"].state is State.SUPPRESSED
        room.loop.plant.values[PLC.LINE_STATE] = "running"
        room.cycles(6)  # until it is judged again
        room.more["doubts"] = {"nir": "drifts"}
        room.cycles(CYCLES)
    assert room.events == ["instrument-doubtful.nir"]
    room.more["doubts"] = {}
    room.cycles(CYCLES)
    assert not room.memory.alarms.alarms["instrument-doubtful.nir"].active


def test_a_set_point_in_local(room: Room) -> None:
    room.loop.plant.values[f"{MV.API_RATIO}/SRC"] = "LOCAL"
    room.loop.plant.values[f"{MV.API_RATIO}/AVAIL"] = False
    room.cycles(24)
    assert room.events == []  # two minutes of local are no alarm
    room.cycles(2)
    assert room.events == ["mv-local.ApiRatio"]


def test_a_set_point_at_its_limit_for_ten_minutes(room: Room) -> None:
    plant = room.loop.plant
    hi, lo = (float(str(plant.values[f"{MV.THICKNESS}/{part}"])) for part in ("HI", "LO"))
    room.loop.setup = replace(room.loop.setup, brain=FilterBrain(wish={MV.THICKNESS: 1.0}))
    room.cycles(TEN_MINUTES)
    at = float(str(plant.values[f"{MV.THICKNESS}/ACT"]))
    assert hi - at < 0.001 * (hi - lo)
    room.cycles(TEN_MINUTES)
    assert room.events == ["mv-saturated.Thickness"]
    assert room.memory.alarms.alarms["mv-saturated.Thickness"].text == "upper limit"


def test_a_line_that_stands_suspends_and_silences_what_needs_it(room: Room) -> None:
    room.more["losses"] = (Lost("main_force", "main force"),)
    room.loop.plant.values[PLC.LINE_STATE] = "held"
    room.cycles(CYCLES)
    assert room.events == []
    assert room.shown == {Id.SUSPENDED}
    room.more["losses"] = ()
    room.loop.plant.values[PLC.LINE_STATE] = "running"
    room.cycles(CYCLES)
    assert room.events == [] and room.shown == set()


def test_who_is_restarting_the_line_is_not_told_to_do_so(room: Room) -> None:
    room.loop.plant.values[PLC.LINE_STATE] = "held"
    room.cycles(119)
    assert room.shown == {Id.SUSPENDED}
    room.loop.plant.values[PLC.LINE_STATE] = "restarting"
    room.cycles(10)
    assert room.shown == {Id.SUSPENDED}
    room.loop.plant.values[PLC.LINE_STATE] = "held"
    room.cycles(1)
    assert room.events == [Id.RESUME]


def test_a_line_that_stands_for_long_is_told_before_control_is_shed(room: Room) -> None:
    room.loop.plant.values[PLC.LINE_STATE] = "held"
    room.cycles(122)
    assert room.events == [Id.RESUME]
    room.cycles(TEN_MINUTES)
    assert room.events == [Id.RESUME, Id.SHED]


def test_readiness_that_is_lost(room: Room) -> None:
    room.more["readiness"] = Ready(False)
    room.cycles(2 * CYCLES)
    assert room.events == []  # never was ready
    room.more["readiness"] = Ready(True)
    room.cycle()
    room.more["readiness"] = Ready(False)
    room.cycles(2 * CYCLES)
    assert room.events == [Id.READINESS]


def test_a_gate_that_lets_nothing_out(room: Room) -> None:
    tag = f"{MV.THICKNESS}/ACT"
    room.loop.plant.status[tag] = BAD
    room.cycles(2)
    assert Id.WITHHELD in room.events
    assert MV.THICKNESS in room.memory.alarms.alarms[Id.WITHHELD].text


def test_a_forecast_out_of_specification_is_an_alert(room: Room) -> None:
    forecast = room.loop.outputs[-1].record.forecast
    assert isinstance(forecast, Forecast)
    row = forecast.times * 0.0 + 215e-6
    room.more["forecast"] = replace(forecast, series={"tablet_weight": (row, row, row)})
    room.cycles(5)
    assert room.events == [] and room.shown == {"forecast.tablet_weight"}


def test_relaxed_targets_are_an_alert(room: Room) -> None:
    plan = room.loop.outputs[-1].record.plan
    assert plan is not None
    relaxed = Relaxation(variable="throughput", wanted=1.0, reached=0.9, because=("level",))
    report = SteadyReport(moves={}, set_points={}, relaxed=(relaxed,), value_per_h=0.0, work=0.0)
    room.more["plan"] = replace(plan, target=report)
    room.cycles(TEN_MINUTES)
    assert room.events == [] and room.shown == {Id.RELAXED}


def test_critical_variables(room: Room) -> None:
    room.more["critical"] = "tablet_weight is out of service"
    room.cycle()
    assert room.events == [Id.CRITICAL]


def test_a_diverter_that_diverts_for_long(room: Room) -> None:
    room.loop.plant.values[PLC.DIVERTER] = "divert"
    room.cycles(TEN_MINUTES)
    assert room.events == [Id.DIVERTING]


def test_nothing_alarms_in_off_but_what_is_always_true(room: Room) -> None:
    room.cycle(Mode.OFF)
    room.loop.plant.status["Line/Press/MainForce/PV"] = BAD
    room.loop.plant.values[PLC.RECIPE_ID] = "R-OTHER"
    room.cycles(CYCLES)
    assert room.events == []


def test_requests_are_heard_before_the_conditions(room: Room) -> None:
    room.more["losses"] = (Lost(),)
    room.cycles(CYCLES)
    request = AlarmRequest(
        alarm="instrument-lost.nir",
        action="acknowledge",
        user="ada",
        role="operator",
        reason="seen it",
    )
    before = room.loop.state.supervision
    seen = room.see(room.loop.cycle(), before, request)
    assert seen.answers[0].accepted
    assert room.memory.alarms.alarms["instrument-lost.nir"].state is State.ACKNOWLEDGED


def test_memory_is_bounded_by_the_list(room: Room) -> None:
    values: Mapping[str, Any] = room.loop.plant.values
    assert values
    for i in range(200):
        room.more["losses"] = (Lost(expired=bool(i % 2)),) if i % 3 else ()
        room.more["doubts"] = {"nir": "x", "main_force": "y"} if i % 5 else {}
        room.cycle()
    assert len(room.memory.alarms.alarms) <= len(room.setup.definitions)
    assert len(room.memory.load.recent) <= 120
