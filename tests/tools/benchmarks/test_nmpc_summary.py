"""What the NMPC benchmark makes of its measurements, and the processes that it takes them in."""

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from tools.benchmarks.nmpc import run_nmpc, summarise, worst_over_median
from tools.benchmarks.nmpc_table import goals, print_nmpc
from tools.benchmarks.speed_process import MeasurementError, measure
from tools.benchmarks.speed_runs import Job, turns


def _run(ms: list[float], cost: float, start: float = 1.0) -> dict[str, Any]:
    return {
        "ms": ms,
        "cpu_ms": [t / 2 for t in ms],
        "cost": [cost * (k + 1) for k in range(len(ms))],
        "iterations": [2] * len(ms),
        "verdicts": {"fine": len(ms)},
        "settings": {"a": 1},
        "start_s": start,
        "peak_mb": 100.0,
    }


FOUND = {
    "ours": [_run([4.0, 6.0, 5.0, 9.0], 1.001), _run([2.0, 2.0, 2.0, 4.0], 1.001)],
    "ipopt": [_run([100.0, 120.0, 100.0, 100.0], 1.0), _run([100.0, 100.0], 1.0)],
    "dompc": [_run([1500.0, 1500.0], 1.1), _run([1000.0, 1000.0], 1.1)],
    "cold": [_run([1.0], 1.0, start=4.5)],
    "deployed": [_run([9.0, 9.0, 9.0, 9.0], 1.0)],
    "scenarios": [_run([20.0, 20.0, 20.0, 30.0], 1.0)],
    "dompc_unpinned": [{"seconds": 45.0, "iterations": 200, "verdict": "stopped"}],
}


def test_ratios_are_taken_within_a_run_over_the_same_steps() -> None:
    flat = summarise(FOUND, first=2)
    assert flat["ratio_to_dompc"] == pytest.approx((300.0 + 500.0) / 2)
    assert flat["range"]["ratio_to_dompc"] == pytest.approx([300.0, 500.0])
    assert flat["ratio_to_ipopt"] == pytest.approx((22.0 + 50.0) / 2)
    assert flat["ours_ms"] == pytest.approx({"median": 4.0, "p95": 7.95, "max": 9.0})
    assert flat["cost_gap_pct"] == pytest.approx(0.1)
    assert (flat["start_s"], flat["compile_s"], flat["peak_mb"]) == (1.0, 3.5, 100.0)
    assert flat["dompc_over_scenarios"] == pytest.approx(1250.0 / 20.0)
    assert json.loads(json.dumps(flat)) == flat


def test_the_worst_step_is_compared_with_steps_of_as_many_iterations() -> None:
    assert worst_over_median([1.0, 1.0, 1.5, 4.0, 4.4], [1, 1, 1, 2, 2]) == pytest.approx(1.5)
    assert worst_over_median([1.0, 1.0, 1.5, 4.0, 4.4], [2] * 5) == pytest.approx(4.4 / 1.5)
    flat = summarise(FOUND, first=2)
    assert flat["worst_over_median"] == pytest.approx((9.0 / 5.5 + 2.0) / 2)
    assert flat["worst_over_median_least"] == pytest.approx(2.0)  # of 2, 2, 2, 4


def test_goals_say_what_is_reached_missed_and_open() -> None:
    flat = summarise(FOUND, first=2)
    met = {g.name: g.met for g in goals(flat)}
    assert met["do-mpc's time over ours"] is True
    assert met["do-mpc's time over 8 scenarios'"] is True
    alone = summarise({"ours": FOUND["ours"]}, first=2)
    assert {g.name: g.met for g in goals(alone)}["do-mpc's time over ours"] is None
    assert met["worst step, ms"] is True
    slow = goals(flat | {"ratio_to_dompc": 299.0, "cost_gap_pct": 0.6})
    missed = {g.name for g in slow if g.met is False}
    assert {"do-mpc's time over ours", "closed-loop cost above converged IPOPT's, %"} <= missed


def test_the_table_names_every_solver_its_settings_and_the_goals() -> None:
    console = Console(record=True, width=200, file=StringIO())
    flat = summarise(FOUND, first=2) | {
        "dompc_compiled": "NameError: nlpsol",
        "machine": {"processors": 2, "load_15_min": 0.5},
    }
    print_nmpc(console, flat)
    text = console.export_text()
    for said in ("do-mpc", "IPOPT", "a=1", "NameError", "reached", "[300, 500]", "200 iterations"):
        assert said in text


def test_each_run_begins_with_another_contestant() -> None:
    jobs = [Job(name=n, target="") for n in "abc"]
    assert ["".join(j.name for j in turns(jobs, r)) for r in range(4)] == [
        "abc",
        "bca",
        "cab",
        "abc",
    ]


def test_a_measurement_in_another_process_tells_steps_start_and_memory() -> None:
    ticks: list[int] = []
    found = measure(
        "tools.benchmarks.nmpc_measure:measure_nmpc",
        lambda: ticks.append(1),
        solver="ours",
        steps=2,
        cache="",
        stages=6,
    )
    assert len(ticks) == len(found["ms"]) == 2
    assert 0.0 < found["start_s"] < 60.0
    assert 20.0 < found["peak_mb"] < 2000.0


def test_a_measurement_that_fails_says_which_and_why() -> None:
    with pytest.raises(MeasurementError, match=r"nonsense.*no such solver"):
        measure(
            "tools.benchmarks.nmpc_measure:measure_nmpc",
            solver="nonsense",
            steps=1,
            cache="",
            stages=4,
        )


@pytest.mark.slow
def test_the_benchmark_runs_through_on_a_short_horizon() -> None:
    result = run_nmpc(runs=1, steps=3, first=2, stages=8, opponents=("ipopt", "fatrop"))["nmpc"]
    assert abs(result["cost_gap_pct"]) < 1.0
    assert result["ratio_to_ipopt"] > 1.0
