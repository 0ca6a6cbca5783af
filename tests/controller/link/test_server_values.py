"""What a cycle shows: paths, units, and what is absent."""

import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from controller.alarms.definitions import Priority
from controller.alarms.engine import Alarm, AlarmEvent, AlarmState, EventKind, State
from controller.cycle_data import CycleOutput
from controller.data import CV, Forecast, Interval, Mode
from controller.link.server_kpis import Kpis, count, kpi_values
from controller.link.server_reports import report_values
from controller.link.server_values import Quantity, lookup, slug, values_of
from controller.supervision.diversion import Diversion
from controller.supervision.readiness_data import ReadinessLine, ReadinessReport
from plant_models.signals import MV, PLC, LineState
from tests.controller.kit import PERIOD, TABLE, Loop
from tests.helpers.controller_site import overseen


@pytest.fixture
def output() -> CycleOutput:
    loop = Loop()
    loop.plant.values[PLC.SPEED] = 1.0
    loop.cycles(3)
    return loop.cycle(Mode.ADVISORY)


def test_mode_permissives_and_targets_are_shown_in_plant_units(output: CycleOutput) -> None:
    values = values_of(output, "connected", TABLE)
    assert values["Mode"] == "ADVISORY"
    assert values["Link"] == "connected"
    assert values["PlantTime"] == datetime.fromtimestamp(output.record.time, UTC)
    assert values["Permissives/PlantHeartbeat/State"] is True
    assert values["Permissives/PlantHeartbeat/Safety"] is True
    assert isinstance(values["Permissives/PlantHeartbeat/Since"], datetime)
    assert values["Permissives/LineRunning/Value"] == "running"
    assert values["Permissives/SolverHealthy/DebounceCycles"] == 6
    assert "call the engineer" in str(values["Permissives/SolverHealthy/Remedy"])
    assert values["Targets/tablet_weight"] == Quantity(pytest.approx(200.0), "mg")
    assert values["Targets/throughput"] == Quantity(pytest.approx(20.0), "kg/h")


def test_an_estimate_is_shown_with_its_interval(output: CycleOutput) -> None:
    values = values_of(output, "", TABLE)
    low, mid, high = (values[f"Estimates/tablet_weight/{n}"] for n in ("Low", "Value", "High"))
    assert [q.value for q in (low, mid, high)] == pytest.approx([199.0, 200.0, 201.0])
    assert {q.unit for q in (low, mid, high)} == {"mg"}
    estimate = output.record.estimate
    assert estimate is not None
    assert values["Estimates/States/Names"] == estimate.names
    spread = values["Estimates/States/StandardDeviation"]
    assert spread.value == pytest.approx(np.sqrt(np.diag(estimate.covariance)))


def test_a_forecast_is_an_array_per_variable_with_one_of_times(output: CycleOutput) -> None:
    times = np.array([0.0, 5.0, 10.0])
    weight = np.array([200e-6, 201e-6, 202e-6])
    forecast = Forecast(
        times=times, series={CV.TABLET_WEIGHT.value: (weight, weight + 1e-6, weight * np.nan)}
    )
    shown = values_of(replace(output, record=replace(output.record, forecast=forecast)), "", TABLE)
    assert shown["Forecasts/Times"] == Quantity((0.0, 5.0, 10.0), "s")
    planned = shown["Forecasts/tablet_weight/Planned"]
    assert planned.unit == "mg" and planned.value == pytest.approx((201.0, 202.0, 203.0))
    assert all(math.isnan(v) for v in shown["Forecasts/tablet_weight/HalfWidth"].value)


def test_a_plan_is_shown_per_mv_in_its_plant_unit(output: CycleOutput) -> None:
    values = values_of(output, "", TABLE)
    plan, validated = output.record.plan, output.record.validated
    assert plan is not None and validated is not None
    planned = values["MVs/Thickness/Planned"]
    assert planned.unit == "mm"
    assert planned.value == pytest.approx(1e3 * plan.moves[MV.THICKNESS])
    assert values["MVs/Thickness/SetPoint"].value == pytest.approx(
        1e3 * validated.actual[MV.THICKNESS]
    )


def test_what_a_cycle_does_not_have_is_absent(output: CycleOutput) -> None:
    bare = replace(output.record, estimate=None, forecast=None, plan=None, validated=None)
    values = values_of(replace(output, record=bare), "lost", TABLE)
    gone = ("Estimates/", "Forecasts/", "Plan/", "MVs/")
    assert [p for p in values if p.startswith(gone)] == []
    assert values["Mode"] == "ADVISORY"
    assert report_values(replace(output, oversight=None), TABLE) == {}


def test_a_report_that_was_not_made_is_not_shown(output: CycleOutput) -> None:
    values = report_values(overseen(output, readiness=None, product=None), TABLE)
    assert [p for p in values if p.startswith(("Readiness/", "Product/"))] == []


def test_a_cycle_shows_health_and_service_of_everything(output: CycleOutput) -> None:
    values = report_values(output, TABLE)
    assert values["Health/Press/MainForce/Category"] == "good"
    assert values["MVs/Thickness/Service"] in ("ON", "INIT", "TRACK", "FFWD", "OUT")
    assert values["CVs/potency/Service"] == "ON"
    assert values["LostInstruments/List"] == ()


def test_reports_of_supervision_have_their_branches(output: CycleOutput) -> None:
    line = ReadinessLine(
        name="interval coverage", value=94.0, unit="%", goal="at least 90 %", good=True, text="ok"
    )
    loss = SimpleNamespace(instrument="NIR", since=5.0, allowed_s=600.0, expired=False, text="lost")
    signal = SimpleNamespace(category="good", defect="none", action="use", since=1.0, text="")
    alarms = {
        "solver": Alarm(id="solver", state=State.UNACKNOWLEDGED, active=True, unacknowledged=True),
        "nir": Alarm(id="nir", state=State.SHELVED, shelved_until=100.0, by="ada: cleaning"),
    }
    values = report_values(
        overseen(
            output,
            readiness=ReadinessReport(ready=False, lines=(line,)),
            services=SimpleNamespace(
                mvs={MV.THICKNESS: "TRACK"},
                cvs={"potency": "ON"},
                texts={MV.THICKNESS: "local"},
                limited={},
                lost="",
            ),
            health=SimpleNamespace(signals={"Line/Feeder1/MassFlow/PV": signal}),
            ladder=SimpleNamespace(
                lost=(loss,),
                cvs_dropped=frozenset({"potency"}),
                mvs_frozen=frozenset(),
                divert=True,
                shed="",
            ),
            diversion=Diversion(divert=True, reasons=("NIR lost",)),
            product=SimpleNamespace(hash="ab12", recipe_id_wanted="R@ab12", name="t", version=3),
            alarms=AlarmState(alarms=alarms),
        ),
        TABLE,
    )
    assert values["Readiness/Ready"] is False
    assert values["Readiness/IntervalCoverage/Value"] == Quantity(94.0, "%")
    assert json.loads(str(values["Readiness/Report"]))["lines"][0]["goal"] == "at least 90 %"
    assert values["Advice/List"] == "[]"
    assert values["MVs/Thickness/Service"] == "TRACK"
    assert values["MVs/Thickness/ServiceText"] == "local"
    assert values["CVs/potency/Service"] == "ON"
    assert values["Health/Feeder1/MassFlow/Category"] == "good"
    assert values["LostInstruments/NIR/Allowed"] == Quantity(600.0, "s")
    assert values["LostInstruments/CvsDropped"] == ("potency",)
    assert values["Diversion/Reasons"] == ("NIR lost",)
    assert values["Product/RecipeIdWanted"] == "R@ab12"
    assert (values["Alarms/InAlarm"], values["Alarms/Hidden"]) == (1, 1)
    assert values["Alarms/solver/Acknowledged"] is False
    assert values["Alarms/nir/ShelvedUntil"] == datetime.fromtimestamp(100.0, UTC)


def test_names_are_made_for_paths() -> None:
    assert slug("operator's role and reason") == "OperatorRoleAndReason"
    assert lookup([MV.THICKNESS], "Thickness") == MV.THICKNESS
    assert lookup([MV.THICKNESS], MV.THICKNESS) == MV.THICKNESS
    assert lookup([MV.THICKNESS], "thick") is None


@dataclass
class Cycles:
    """Outcomes with whatever mode, line state and wall time."""

    output: CycleOutput

    def at(self, time: float, mode: Mode, running: bool, wall_ms: float) -> CycleOutput:
        validated = self.output.record.validated
        assert validated is not None
        state = LineState.RUNNING if running else LineState.HELD
        record = replace(
            self.output.record,
            time=time,
            mode=mode,
            validated=replace(validated, line_state=state),
            wall_ms={"total": wall_ms},
        )
        return replace(self.output, record=record)


def test_key_figures_are_counted_in_plant_time(output: CycleOutput) -> None:
    cycles, k = Cycles(output), Kpis()
    told = [
        (0.0, Mode.ADVISORY, True, 100.0),
        (5.0, Mode.ADVISORY, True, 300.0),
        (10.0, Mode.CLOSED_LOOP, True, 6000.0),
        (15.0, Mode.CLOSED_LOOP, False, 200.0),
        (3615.0, Mode.CLOSED_LOOP, True, 200.0),
    ]
    for row in told:
        k = count(k, cycles.at(*row), PERIOD)
    values = kpi_values(k)
    assert values["KPIs/Cycles"] == 5
    assert values["KPIs/Overruns"] == 1
    # A gap of an hour counts as four periods.
    assert values["KPIs/TimeInMode/CLOSED_LOOP"] == Quantity(30.0, "s")
    assert values["KPIs/ServiceFactor"] == Quantity(pytest.approx(100.0 * 25.0 / 30.0), "%")
    assert values["KPIs/MvUtilisation/Thickness"] == Quantity(100.0, "%")
    assert values["KPIs/CycleTime/Worst"] == Quantity(6.0, "s")


def test_the_load_of_alarms_is_counted(output: CycleOutput) -> None:
    cycles, k = Cycles(output), Kpis()
    assert output.oversight is not None
    for cycle, number in enumerate((3, 0, 12, 0)):
        time = 300.0 * cycle
        called = tuple(
            AlarmEvent(
                number=i,
                time=time,
                alarm=f"a{i}",
                kind=EventKind.RAISED,
                state=State.UNACKNOWLEDGED,
                priority=Priority.HIGH if cycle == 2 and i == 1 else Priority.LOW,
                text="",
                value=None,
                annunciated=i > 0,
                first_out=i == 1,
                alert=i == 0,
            )
            for i in range(number)
        )
        told = replace(output.oversight, alarm_events=called)
        at = cycles.at(time, Mode.CLOSED_LOOP, True, 1.0)
        k = count(k, replace(at, oversight=told), PERIOD)
    values = kpi_values(k)
    assert values["KPIs/Alarms/Count"] == 13
    assert values["KPIs/Alarms/InTenMinutes"] == 11 == values["KPIs/Alarms/MostInTenMinutes"]
    assert values["KPIs/Alarms/Flood"] is True
    assert (values["KPIs/Alarms/Upsets"], values["KPIs/Alarms/MostInUpset"]) == (1, 11)


def test_key_figures_without_a_running_line_are_absent(output: CycleOutput) -> None:
    k = count(Kpis(), Cycles(output).at(0.0, Mode.MONITORING, False, 1.0), PERIOD)
    assert "KPIs/ServiceFactor" not in kpi_values(k)


def test_an_interval_of_an_unknown_variable_is_shown_in_si(output: CycleOutput) -> None:
    estimate = output.record.estimate
    assert estimate is not None
    other = replace(estimate, quality={"moisture": Interval(0.02, 0.001)})
    values = values_of(replace(output, record=replace(output.record, estimate=other)), "", TABLE)
    assert values["Estimates/moisture/Value"] == Quantity(0.02, "")
