"""How the cost of a step grows: exponents, and lines with larger twins."""

from io import StringIO

import pytest
from rich.console import Console

from tools.benchmarks.nmpc_problem import Case
from tools.benchmarks.scaling import (
    exponent,
    goals,
    measure_scaling,
    print_scaling,
    summarise,
    with_tanks,
)
from tools.benchmarks.speed_child import Reporter

ROWS = [
    {"stages": n, "times": k, "states": 40 * k, "ms": 0.3 * n * k**2, "cpu_ms": 0.1 * n * k**2}
    for k in (1, 2, 4)
    for n in (30, 60, 120)
]


def test_exponents_are_found() -> None:
    assert exponent([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]) == pytest.approx(2.0)
    flat = summarise(ROWS)
    assert flat["exponent_stages"] == pytest.approx(dict.fromkeys(("40", "80", "160"), 1.0))
    assert flat["exponent_states"] == pytest.approx(dict.fromkeys(("30", "60", "120"), 2.0))
    assert all(g.met for g in goals(flat))
    console = Console(record=True, width=120, file=StringIO())
    print_scaling(console, flat)
    assert "192.00 (576.00)" in console.export_text()


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_longer_blender_gives_a_multiple_of_the_states(times: int) -> None:
    plain = Case()
    larger = Case(resolved=with_tanks(plain.resolved, times))
    assert larger.twin.path.size == pytest.approx(times * plain.twin.path.size, rel=0.03)


def test_a_size_is_measured_in_the_loop() -> None:
    found = measure_scaling(Reporter(0.0, lambda _: None), stages=8, times=1, steps=2, cache="")
    assert (found["stages"], found["states"]) == (8, 38)
    assert found["cpu_ms"] > 0.0
