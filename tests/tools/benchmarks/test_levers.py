"""The levers of speed: every variant solves the same loop, and only time differs where it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.benchmarks.levers import LEVERS, run_levers


def test_levers_that_only_take_time_leave_the_loop_as_it_is(tmp_path: Path) -> None:
    results = run_levers(steps=4, stages=13, cache=tmp_path)["levers"]["variants"]
    assert list(results) == [lever.name for lever in LEVERS]
    cost = results["as deployed, on this horizon"]["cost"]
    for name in (
        "model not compiled",
        "condensing by dense matrices",
        "trial plans with sensitivities",
        "no fixed buffers",
        "interior-point QP",
    ):
        assert results[name]["cost"] == pytest.approx(cost, rel=1e-5), name
    assert all(row["median_ms"] > 0.0 for row in results.values())
    assert results["no blocking, converged"]["cost_gap_pct"] == 0.0
