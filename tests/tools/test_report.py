"""Charts, tables and goals of the report, and the scripted times that it is drawn over."""

import io
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hil.config import ScenarioConfig
from tools.configuration import load_scenario
from tools.demo.script import shift_script
from tools.demo.status import Phase, Status, clock
from tools.report.results import (
    demo_document,
    glance,
    goal_table,
    goals,
    result_table,
    rows,
    shown,
    value_at,
)
from tools.report.strips import Strip, strips
from tools.report.svg import Band, Bars, Chart, Dots, Limit, Line, Mark, render, thin, ticks

SPAN = (0.0, 10.0)


def _array(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values)


def _chart(*items: Line | Band | Dots | Bars, **more: Any) -> str:
    return render(Chart(title="Weight", unit="mg", x=SPAN, items=items, **more))


def _scores(excess: int, iae: float, covered: float = 0.95) -> dict[str, Any]:
    cvs = ("potency", "tablet_weight", "tensile_strength", "throughput")
    return {
        "cycles": 660,
        "tablets": {"released_out_of_spec": excess, "floor": 5, "excess": excess},
        **{cv: {"iae_norm": iae} for cv in cvs},
        "mhe": {cv: {"coverage_95": covered} for cv in cvs},
        "max_mv_rate_violation": 0.0,
        "bump_at_closing": 0.2,
        "units": {},
    }


# Charts


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 10.0, 5) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert ticks(4.7, 12.3, 4) == [6.0, 8.0, 10.0, 12.0]
    assert ticks(0.0, 10.0, 4) == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert ticks(3.0, 3.0) == [3.0]


def test_labels_show_every_digit_of_their_step() -> None:
    text = _chart(Line(name="a", x=_array(0, 10), y=_array(0, 10), css="nmpc"), y=(0.0, 10.0))
    for label in ("0.0", "2.5", "5.0", "7.5", "10.0"):
        assert f">{label}</text>" in text


def test_thinning_keeps_the_mean_and_leaves_out_what_is_unknown() -> None:
    x = np.arange(1400.0)
    y = np.where(x % 2 == 0, 1.0, 3.0)
    some, means = thin(x, y, 700)
    assert some.size == 700
    assert means == pytest.approx(np.full(700, 2.0))
    y[::2] = np.nan
    assert thin(x, y, 700)[1] == pytest.approx(np.full(700, 3.0))


def test_a_line_is_broken_where_nothing_is_known() -> None:
    text = _chart(Line(name="a", x=_array(0, 1, 2, 3), y=_array(1, math.nan, 2, 3), css="nmpc"))
    path = text.split('data-name="a" d="')[1].split('"')[0]
    assert path.count("M") == 2
    assert "nan" not in text


def test_a_line_can_be_read_back_from_the_page() -> None:
    """The page's read-outs are computed from the path and the chart's ranges."""
    y = _array(190.0, 200.0, 210.0)
    text = _chart(Line(name="a", x=_array(0, 5, 10), y=y, css="pid"), y=(180.0, 220.0))
    path = text.split('data-name="a" d="')[1].split('"')[0]
    pixels = [float(pair.split(",")[1]) for pair in path.replace("M", "L").split("L") if pair]
    field = text.split('<rect class="field"')[1].split("/>")[0]
    at = {k: float(v.strip('"')) for k, v in (p.split("=") for p in field.split())}
    bottom, height = at["y"] + at["height"], at["height"]
    assert [180.0 + 40.0 * (bottom - p) / height for p in pixels] == pytest.approx(y, abs=0.02)


def test_steps_hold_their_value() -> None:
    text = _chart(
        Line(name="a", x=_array(0, 10), y=_array(0, 10), css="nmpc", step=True), y=(0.0, 10.0)
    )
    path = text.split('data-name="a" d="')[1].split('"')[0]
    corners = path.replace("M", "L").split("L")[1:]
    assert len(corners) == 3
    assert corners[0].split(",")[1] == corners[1].split(",")[1]


def test_what_lies_outside_the_span_is_not_drawn() -> None:
    text = _chart(
        Dots(name="lab", x=[-1.0, 5.0, 11.0], y=[1.0, 1.0, 1.0], css="lab"),
        marks=[Mark(x=11.0, text="later", number=1)],
    )
    assert text.count("<circle") == 1
    assert "later" not in text


def test_bands_limits_marks_and_bars_are_drawn() -> None:
    x = _array(0, 5, 10)
    text = _chart(
        Band(name="95 %", x=x, lo=x - 1, hi=x + 1, css="ci"),
        Bars(name="nmpc", edges=x, heights=_array(3, 4), css="nmpc"),
        limits=[Limit(y=5.0, text="specification 5")],
        marks=[Mark(x=4.0, text="new <lot>", number=3)],
    )
    for piece in ('class="band ci"', 'class="bars nmpc"', "specification 5", "new &lt;lot&gt;"):
        assert piece in text
    assert ">3</text>" in text


def test_counts_are_labelled_by_decades() -> None:
    line = Line(name="a", x=_array(0, 10), y=_array(0, math.log10(1501)), css="plc")
    text = _chart(line, y=(0.0, 3.3), counts=True)
    labels = [part.split("</text>")[0].split(">")[-1] for part in text.split('class="tick end"')]
    assert labels[1:5] == ["0", "10", "100", "1,000"]


def test_equal_states_are_one_bar_with_its_times() -> None:
    row = Strip(
        name="nmpc mode",
        x=_array(0, 2, 4, 6),
        texts=("ADVISORY", "CLOSED_LOOP", "CLOSED_LOOP", "SHED"),
        css={"CLOSED_LOOP": "s3", "SHED": "bad"},
    )
    text = strips([row], SPAN)
    assert text.count("<rect") == 2
    assert "CLOSED_LOOP: 2.0 to 6.0 min" in text
    assert "SHED: 6.0 to 10.0 min" in text


# Tables and goals


def test_the_document_has_the_first_run_at_the_top_and_the_others_below() -> None:
    scores = {"nmpc": _scores(0, 0.2), "pid": _scores(300, 0.9), "plc": _scores(9000, 3.0)}
    document = demo_document("nmpc", scores, {})
    assert document["cycles"] == 660
    assert document["tablets"]["excess"] == 0
    assert document["pid"]["tablets"]["excess"] == 300
    assert document["plc"]["tablets"]["excess"] == 9000
    assert "units" in document and "units" not in document["pid"]
    assert "failed" not in document


def test_a_failed_first_run_leaves_the_top_empty_and_says_why() -> None:
    document = demo_document("nmpc", {"pid": _scores(300, 0.9)}, {"nmpc": "the plant ended"})
    assert "tablets" not in document
    assert document["pid"]["tablets"]["excess"] == 300
    assert document["failed"] == {"nmpc": "the plant ended"}


def test_goals_say_plainly_what_was_missed() -> None:
    good = {"nmpc": _scores(0, 0.2), "pid": _scores(300, 0.9)}
    assert all(goal.met for goal in goals(good))
    bad = {"nmpc": _scores(40, 0.6, covered=0.5), "pid": _scores(300, 0.9)}
    missed = [goal.text for goal in goals(bad) if not goal.met]
    assert len(missed) == 2 + 4 + 4  # released and excess, every IAE, every interval
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(goal_table(bad))
    assert console.export_text().count("missed") == len(missed)


def test_released_tablets_may_exceed_the_floor_by_fifteen() -> None:
    def met(released: int) -> bool:
        return next(iter(goals({"nmpc": _scores(released, 0.2)}))).met

    assert met(20)
    assert not met(21)


def test_there_are_no_goals_without_the_optimising_controller() -> None:
    assert list(goals({"pid": _scores(300, 0.9)})) == []


def test_the_table_leaves_out_what_nobody_has_and_marks_gaps() -> None:
    plc = {k: v for k, v in _scores(9000, 3.0).items() if k != "mhe"}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(result_table({"nmpc": _scores(0, 0.2), "plc": plc}))
    text = console.export_text()
    assert "potency: coverage" in text
    assert "–" in text
    assert "chute level outside" not in text


def test_every_row_of_the_glance_is_in_the_table() -> None:
    keys = {row.key for _, group in rows() for row in group}
    assert {row.key for row in glance()} <= keys
    assert len(glance()) == 8


def test_numbers_are_found_by_their_dotted_key() -> None:
    assert value_at({"a": {"b": 2}}, "a.b") == 2.0
    assert value_at({"a": 1}, "a.b") is None
    assert shown(12345.678, 1) == "12,345.7"
    assert shown(None, 1) == "–"


# Times


@pytest.fixture
def scenario(root: Any) -> ScenarioConfig:
    loaded: ScenarioConfig = load_scenario(root / "configs" / "scenarios" / "shift.yaml")
    return loaded


def test_everything_happens_on_the_grid_of_cycles_and_in_order(scenario: ScenarioConfig) -> None:
    for minutes in (5.0, 7.3, 40.0, 120.0):
        s = shift_script(scenario, minutes, 5)
        assert s.throughput is not None and s.kill is not None
        times = (s.running, s.closed, s.throughput, s.kill, s.end)
        assert all(t % 5 == 0 for t in times)
        assert list(times) == sorted(times)


def test_the_loop_is_closed_within_a_fiftieth_of_the_shift(scenario: ScenarioConfig) -> None:
    s = shift_script(scenario, 40.0, 5)
    assert (s.running, s.closed, s.throughput, s.kill, s.end) == (900, 945, 2340, 2820, 3300)
    assert s.throughput_percent == 20.0


def test_a_status_counts_plant_time_over_wall_time() -> None:
    status = Status("pid", 3300, phase=Phase.FINISHED, second=3300, began=100.0, ended=133.0)
    assert status.factor == pytest.approx(100.0)
    status.note("plant killed", 2820)
    assert status.notes == ["0:47:00 pid: plant killed"]
    assert clock(3661) == "1:01:01"
