"""The benchmark of the stand-in's speed: every piece is timed, and goals are judged by medians."""

from io import StringIO

import pytest
from rich.console import Console

from tools.benchmarks import REGISTRY
from tools.benchmarks.plant_speed import goals, run_plant


def test_every_piece_is_timed_and_shown() -> None:
    text = StringIO()
    found = run_plant(Console(file=text, width=100), seconds=3)["plant"]
    for key in ("second_ms", "scan_ms", "values_ms"):
        assert 0.0 < found[key]["median"] <= found[key]["p95"] <= found[key]["max"]
    assert found["scan_ms"]["median"] < found["second_ms"]["max"]  # the one is within the other
    assert found["times_real_time"] > 1.0
    assert "PLC's scan" in text.getvalue()
    assert "plant" in REGISTRY


def test_a_median_above_its_goal_is_missed() -> None:
    slow = {"median": 1.2, "p95": 0.1, "max": 0.1}
    fast = {"median": 0.2, "p95": 9.0, "max": 9.0}
    judged = goals({"second_ms": slow, "scan_ms": fast, "values_ms": fast})
    assert [g.met for g in judged] == [False, True, True]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="0 s"):
        run_plant(seconds=0)
