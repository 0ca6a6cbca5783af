"""The control benchmark: what it reports for runs whose scores are known, and the command."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from controller.config import PidConfig
from controller.data import CV
from tools.benchmarks import REGISTRY
from tools.benchmarks.control import Job, Outcome, run_control, summarise
from tools.benchmarks.control_table import goals, print_control
from tools.benchmarks.pid_proof import GAINS, LIMIT_PERCENT, changed, run_pid_proof
from tools.cli import app
from tools.scoring import nested

CVS = [cv.value for cv in CV]


def _scores(excess: int, iae: float) -> dict[str, Any]:
    interval = {"coverage_95": 0.95, "sharpness": 1.0}
    return {
        "tablets": {"excess": excess, "floor": 3, "released_out_of_spec": excess + 3},
        **{cv: {"iae_norm": iae} for cv in CVS},
        **{
            zone: {"time_outside_s": 0.0}
            for zone in ("main_compression_force", "chute_level", "tablet_thickness")
        },
        "max_mv_rate_violation": 0.0,
        "bump_at_closing": 0.1,
        "cycle_ms": {"median": 1.0},
        "mhe": {cv: interval for cv in CVS},
        "mhe_after_lot": {cv: interval for cv in CVS},
    }


def _outcome(
    name: str, seed: int, excess: int, iae: float, closing: float | None = None
) -> Outcome:
    return Outcome(
        job=Job(controller=name, seed=seed, closing_kg_h=closing),
        scores=_scores(excess, iae),
        closed_at=1040.0,
        start=1040.0,
        wall_s=1.0,
    )


def _three_seeds(pid_excess: int) -> dict[str, Any]:
    runs = [_outcome("nmpc", s, e, 0.1) for s, e in ((1, 0), (2, 20), (3, 10))]
    runs += [_outcome("pid", s, pid_excess, 0.3) for s in (1, 2, 3)]
    runs += [_outcome("nmpc", 1, 0, 9.9, closing=rate) for rate in (15.0, 24.0)]
    return summarise(runs)


def test_medians_ranges_and_ratios() -> None:
    flat = _three_seeds(pid_excess=300)
    assert flat["nmpc.excess"] == 10
    assert flat["range.nmpc.excess"] == [0, 20]
    assert flat["ratio.excess"] == pytest.approx(30.0)
    assert flat["ratio.iae.potency"] == pytest.approx(3.0)
    assert flat["mhe.coverage_95.throughput"] == 0.95
    assert flat["bump_at_closing"] == 0.1
    tree = nested(flat)
    assert tree["range"]["mhe"]["coverage_95_after_lot"]["tablet_weight"] == [0.95, 0.95]
    assert json.loads(json.dumps(tree)) == tree


def test_few_excess_tablets_of_the_opponent_are_not_made_into_a_ratio() -> None:
    assert _three_seeds(pid_excess=199)["ratio.excess"] == "too few to compare"


def test_goals_are_judged_as_they_are_written() -> None:
    flat = _three_seeds(pid_excess=300)
    verdicts = {g.name: g.met for g in goals(flat)}
    assert verdicts["excess, pid over nmpc"] is True
    assert verdicts["iae_norm of tablet_weight, nmpc over pid"] is True
    worse = flat | {"nmpc.iae_norm.tablet_weight": 0.13, "bump_at_closing": 0.26}
    verdicts = {g.name: g.met for g in goals(worse)}
    assert verdicts["iae_norm of tablet_weight, nmpc over pid"] is False
    assert verdicts["bump at closing"] is False
    open_goal = next(g for g in goals(_three_seeds(pid_excess=10)) if g.name.startswith("excess"))
    assert (open_goal.met, open_goal.note) == (None, "too few to compare")


def test_the_table_shows_what_is_not_met() -> None:
    console = Console(record=True, width=120, file=StringIO())
    flat = _three_seeds(pid_excess=300) | {"bump_at_closing": 0.5}
    print_control(console, flat | {"minutes": 120.0, "seeds": [1, 2, 3], "not_closed_in_time": []})
    text = console.export_text()
    bump = next(line for line in text.splitlines() if "bump at closing" in line)
    assert "not met" in bump
    assert "too few" not in text


def test_halving_and_doubling_act_on_the_gain_not_on_its_name() -> None:
    config = PidConfig(weight_gain=0.6, level_s=300.0, surplus_gain_per_s=0.02)
    assert changed(config, "weight_gain", 2.0) == (("weight_gain", 1.0),)
    assert changed(config, "surplus_gain_per_s", 0.5) == (("surplus_gain_per_s", 0.01),)
    assert changed(config, "level_s", 2.0) == (("level_s", 150.0),)
    assert set(GAINS) <= set(PidConfig.model_fields)


def test_the_benchmark_runs_the_conventional_controllers() -> None:
    """Two real shifts in worker processes; the opponent beats the PLC alone by far."""
    result = run_control(None, seeds=(11,), minutes=15.0, controllers=("pid", "plc"))["control"]
    assert result["not_closed_in_time"] == []
    assert (
        result["pid"]["iae_norm"]["tensile_strength"]
        < (result["plc"]["iae_norm"]["tensile_strength"])
    )
    assert result["range"]["pid"]["excess"] == [result["pid"]["excess"]] * 2


def test_an_unknown_benchmark_is_bad_input(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["benchmark", "nonsense"])
    assert result.exit_code == 2
    assert all(name in result.stdout for name in REGISTRY)
    target = tmp_path / "missing" / "file.json"
    assert runner.invoke(app, ["benchmark", "control", "--json", str(target)]).exit_code == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)  # some ten minutes of both processors, an hour beside other work
def test_no_gain_of_the_conventional_control_is_worth_changing() -> None:
    """The opponent is not weak: halving or doubling a gain never wins 10 %."""
    proof = run_pid_proof(None)["pid"]
    assert proof["best_percent"] < LIMIT_PERCENT
