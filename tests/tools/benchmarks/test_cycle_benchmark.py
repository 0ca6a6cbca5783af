"""The benchmark of the whole cycle, on made-up measurements and on a real short shift."""

import gc
import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

import tools.harness as harness
from controller.cycle import run_cycle
from tools.benchmarks.cycle import goals, measure_cycle, print_cycle, summarise
from tools.benchmarks.speed_child import Reporter


def _run(ms: list[float]) -> dict[str, Any]:
    return {
        "ms": ms,
        "cpu_ms": ms,
        "gc_ms": [0.0] * (len(ms) - 1) + [3.0],
        "parts": {"validate": ms, "think": ms},
        "verdicts": {"fast solver": len(ms)},
        "start_s": 1.5,
        "peak_mb": 200.0,
    }


FOUND = {"seed 1": [_run([10.0] * 200)], "seed 2": [_run([10.0] * 197 + [20.0, 40.0, 60.0])]}


def test_percentiles_are_those_of_all_cycles() -> None:
    flat = summarise(FOUND)
    assert (flat["median_ms"], flat["max_ms"], flat["cycles"]) == (10.0, 60.0, 400)
    assert flat["p99_ms"] == pytest.approx(10.0)
    assert flat["range"]["p99_ms"] == pytest.approx([10.0, 20.2])
    assert flat["gc_max_ms"] == 3.0
    assert goals(flat)[0].met is True
    assert goals(flat | {"p99_ms": 31.0})[0].met is False
    assert json.loads(json.dumps(flat)) == flat


def test_it_is_printed_with_its_goal() -> None:
    console = Console(record=True, width=150, file=StringIO())
    print_cycle(console, summarise(FOUND))
    text = console.export_text()
    assert "400 in closed loop" in text and "reached" in text


@pytest.mark.slow
def test_a_shift_s_cycles_in_closed_loop_are_timed_and_nothing_stays_behind() -> None:
    callbacks, steps = list(gc.callbacks), 0

    def count(_: dict[str, Any]) -> None:
        nonlocal steps
        steps += 1

    found = measure_cycle(Reporter(0.0, count), seed=1, minutes=2.0, cache="")
    assert steps == 17 * 12
    assert 20 <= len(found["ms"]) <= 24
    assert set(found["verdicts"]) == {"fast solver"}
    assert min(found["ms"]) > 0.1
    assert vars(harness)["run_cycle"] is run_cycle
    assert list(gc.callbacks) == callbacks
