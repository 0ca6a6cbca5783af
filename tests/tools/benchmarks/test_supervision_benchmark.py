"""Benchmark of supervision: its keys, and where its judge comes from."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.benchmarks import REGISTRY, supervision
from tools.cli import app


def test_the_results_have_the_keys_that_were_agreed_on() -> None:
    run = {
        "cycles": 200,
        "frames": 60,
        "orders": 1,
        "unsafe": 0,
        "broken": {},
        "seed": 1,
        "whole": False,
    }
    mutants = [{"slip": "a", "cycles": 3, "noticed": True}, {"slip": "b", "noticed": False}]
    results = supervision.summarise([run, run], mutants, [1.0, 2.0, 4.0])
    assert results == {
        "supervision": {
            "gate": {
                "cycles": 400,
                "unsafe_writes": 0,
                "permitted_share": 0.3,
                "mutants": 2,
                "mutants_caught": 1,
            },
            "cycle_ms": {"median": 2.0, "p99": pytest.approx(3.96)},
        }
    }
    assert "supervision" in REGISTRY


def test_a_run_counts_what_it_wrote_and_a_mutant_is_noticed() -> None:
    run = supervision.fuzz(7, 400)
    assert (run["seed"], run["cycles"], run["unsafe"], run["broken"]) == (7, 400, 0, {})
    assert run["frames"] >= 0.2 * run["cycles"]
    found = supervision.mutate(0, 2_000)
    assert found["noticed"]
    assert found["cycles"] < 2_000


def test_without_a_checkout_the_benchmark_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervision.load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(supervision, "_ROOT", tmp_path)
        with pytest.raises(FileNotFoundError, match="run it from a checkout of the project"):
            supervision.run_supervision(cycles=1)
        shown = CliRunner().invoke(app, ["benchmark", "supervision"])
        assert shown.exit_code == 2
        assert "supervision: tests/controller/supervision/oracle.py is not there" in " ".join(
            shown.stdout.split()
        )
    supervision.load.cache_clear()
