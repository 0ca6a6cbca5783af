"""Charts, tables and goals of the report, and the scripted times that it is drawn over."""

import io
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hil.config import ScenarioConfig
from tools.configuration import load_scenario
from tools.demo.status import Phase, Status
from tools.report.charts import Band, Bars, Chart, Dots, Item, Limit, Line, Mark, Strip
from tools.report.plots import charts_figure, html, library, strips_figure
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
from tools.shift_script import shift_script
from tools.shown_time import clock

SPAN = (0.0, 10.0)


def _array(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values)


def _figure(*items: Item, **more: Any) -> Any:
    return charts_figure([Chart(title="Weight", unit="mg", x=SPAN, items=items, **more)])


def _traces(*items: Item) -> Any:
    return _figure(*items).data


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


def test_a_line_is_drawn_with_the_datas_values_and_broken_where_nothing_is_known() -> None:
    y = _array(190.0, math.nan, 200.0, 210.0)
    (trace,) = _traces(Line(name="a", x=_array(0, 1, 2, 3), y=y, style="nmpc"))
    assert np.asarray(trace.y) == pytest.approx(y, nan_ok=True)
    assert np.asarray(trace.x) == pytest.approx([0.0, 1.0, 2.0, 3.0])
    assert trace.connectgaps is False
    assert "mg" in trace.hovertemplate


def test_steps_hold_their_value() -> None:
    (trace,) = _traces(Line(name="a", x=_array(0, 10), y=_array(0, 10), style="sp", step=True))
    assert trace.line.shape == "hv"


def test_what_lies_outside_the_span_is_not_drawn() -> None:
    dots = Dots(name="lab", x=[-1.0, 5.0, 11.0], y=[1.0, 2.0, 3.0], style="lab")
    figure = _figure(dots, marks=[Mark(x=11.0, text="later", number=1)])
    assert list(figure.data[0].x) == [5.0]
    assert list(figure.data[0].y) == [2.0]
    assert not any("later" in str(note.hovertext) for note in figure.layout.annotations)


def test_bands_limits_marks_and_bars_are_drawn() -> None:
    x = _array(0, 5, 10)
    figure = _figure(
        Band(name="95 %", x=x, lo=x - 1, hi=x + 1, style="ci"),
        Bars(name="nmpc", edges=x, heights=_array(3, 4), style="nmpc"),
        limits=[Limit(y=5.0, text="specification 5")],
        marks=[Mark(x=4.0, text="new <lot>", number=3)],
    )
    lower, upper, bars = figure.data
    assert np.asarray(lower.y) == pytest.approx(x - 1)
    assert np.asarray(upper.y) == pytest.approx(x + 1)
    assert upper.fill == "tonexty"
    assert list(bars.y) == [0.0, 3.0, 4.0, 0.0]
    assert any(shape.y0 == shape.y1 == 5.0 for shape in figure.layout.shapes)
    assert any(shape.x0 == shape.x1 == 4.0 for shape in figure.layout.shapes)
    texts = [f"{note.text} {note.hovertext}" for note in figure.layout.annotations]
    assert any("specification 5" in text for text in texts)
    assert any("3 new &lt;lot&gt;, 4.0 min" in text for text in texts)


def test_counts_stand_on_a_logarithmic_axis_that_begins_at_none() -> None:
    line = Line(name="a", x=_array(0, 10), y=_array(0, 1500), style="plc")
    figure = _figure(line, counts=True)
    axis = figure.layout.yaxis
    assert axis.type == "log"
    assert list(axis.ticktext) == ["0", "10", "100", "1,000"]
    assert list(axis.tickvals) == [1, 11, 101, 1001]
    assert list(figure.data[0].y) == [1.0, 1501.0]
    assert list(figure.data[0].customdata) == [0.0, 1500.0]


def test_charts_over_the_same_time_are_zoomed_together() -> None:
    line = Line(name="a", x=_array(0, 10), y=_array(0, 1), style="pid")
    charts = [Chart(title=t, unit="mg", x=SPAN, items=[line]) for t in ("one", "two")]
    other = Chart(title="three", unit="ms", x=(0.0, 99.0), items=[line], x_unit="ms")
    figure = charts_figure([*charts, other])
    assert figure.layout.xaxis2.matches == "x"
    assert figure.layout.xaxis3.matches is None
    titles = " ".join(str(note.text) for note in figure.layout.annotations)
    assert all(title in titles for title in ("one", "two", "three"))


def test_equal_states_are_one_bar_with_its_times() -> None:
    row = Strip(
        name="nmpc mode",
        x=_array(0, 2, 4, 6),
        texts=("ADVISORY", "CLOSED_LOOP", "CLOSED_LOOP", "SHED"),
        styles={"CLOSED_LOOP": "s3", "SHED": "bad"},
    )
    (bars,) = strips_figure([row], SPAN).data
    assert list(bars.customdata) == ["CLOSED_LOOP: 2.0 to 6.0 min", "SHED: 6.0 to 10.0 min"]
    assert list(bars.base) == [2.0, 6.0]
    assert list(bars.x) == [4.0, 4.0]


def test_a_page_holds_the_script_itself() -> None:
    """Nothing is loaded when the page opens: the element names no address."""
    line = Line(name="a", x=_array(0, 10), y=_array(0, 1), style="pid")
    element = html(charts_figure([Chart(title="one", unit="mg", x=SPAN, items=[line])]), "one")
    assert 'id="one"' in element
    assert "src=" not in element
    assert len(library()) > 1_000_000


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
