"""What the MHE benchmark makes of its measurements."""

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from tools.benchmarks.mhe import goals, print_mhe, run_mhe, summarise
from tools.benchmarks.mhe_problem import QUALITY


def _run(ms: float, steps: int, error: float) -> dict[str, Any]:
    return {
        "ms": [ms] * steps,
        "cpu_ms": [ms] * steps,
        "errors": {name: [error] * 2 + [2 * error] * (steps - 2) for name in QUALITY},
        "after_gross": [True, False] + [False] * (steps - 2),
        "after_lot": [False, False] + [True] * (steps - 2),
        "verdicts": {"fine": steps},
        "settings": {},
        "start_s": 1.0,
        "peak_mb": 50.0,
    }


FOUND = {
    "ours": [_run(10.0, 6, 0.1), _run(20.0, 6, 0.3)],
    "dompc": [_run(1000.0, 4, 1.0), _run(1000.0, 4, 1.0)],
    "cold": [_run(10.0, 3, 0.1) | {"start_s": 3.0}],
}


def test_errors_are_pooled_over_the_runs_by_event() -> None:
    flat = summarise(FOUND, first=4)
    assert flat["rmse"]["ours"]["after_gross"]["potency_percent"] == pytest.approx(0.05**0.5)
    assert flat["rmse"]["ours"]["after_lot"]["potency_percent"] == pytest.approx(0.2**0.5)
    assert flat["rmse"]["dompc"]["after_lot"]["tablet_weight_mg"] == pytest.approx(2.0)
    assert flat["ratio_to_dompc"] == pytest.approx(75.0)
    assert flat["compile_s"] == pytest.approx(2.0)
    assert json.loads(json.dumps(flat)) == flat


def test_goals_compare_errors_and_times() -> None:
    flat = summarise(FOUND, first=4)
    met = {g.name: g.met for g in goals(flat)}
    assert met["do-mpc's time over ours"] is False
    assert met["RMSE of potency_percent after gross errors, ours over do-mpc's"] is True
    alone = summarise({"ours": FOUND["ours"]}, first=4)
    assert all(g.met is None for g in goals(alone) if "do-mpc" in g.name)
    console = Console(record=True, width=200, file=StringIO())
    print_mhe(console, flat)
    assert "RMSE after the lot" in console.export_text()


@pytest.mark.slow
def test_the_benchmark_runs_through_on_a_short_window() -> None:
    result = run_mhe(runs=1, steps=4, first=2, samples=16)["mhe"]
    assert result["ratio_to_dompc"] > 1.0
