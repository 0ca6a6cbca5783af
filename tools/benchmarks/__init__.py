"""Benchmarks, each a function from a console to a dictionary of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from tools.benchmarks.realism import run_realism

__all__ = ["REGISTRY", "Benchmark"]

Benchmark = Callable[[Console], dict[str, Any]]


def _realism(console: Console) -> dict[str, Any]:
    return run_realism(console=console)


def _control(console: Console) -> dict[str, Any]:
    from tools.benchmarks.control import run_control  # loads the solvers: only when it is run

    return run_control(console)


def _converged(console: Console) -> dict[str, Any]:
    from tools.benchmarks.converged import run_converged  # as above

    return run_converged(console)


def _cycle(console: Console) -> dict[str, Any]:
    from tools.benchmarks.cycle import run_cycles  # as above

    return run_cycles(console)


def _estimators(console: Console) -> dict[str, Any]:
    from tools.benchmarks.estimators import run_estimators  # as above

    return run_estimators(console)


def _forecast(console: Console) -> dict[str, Any]:
    from tools.benchmarks.forecast import run_forecast  # as above

    return run_forecast(console)


def _mhe(console: Console) -> dict[str, Any]:
    from tools.benchmarks.mhe import run_mhe  # as above

    return run_mhe(console)


def _nmpc(console: Console) -> dict[str, Any]:
    from tools.benchmarks.nmpc import run_nmpc  # as above

    return run_nmpc(console)


def _observability(console: Console) -> dict[str, Any]:
    from tools.benchmarks.observability import run_observability  # as above

    return run_observability(console)


def _pid(console: Console) -> dict[str, Any]:
    from tools.benchmarks.pid_proof import run_pid_proof  # as above

    return run_pid_proof(console)


def _plant(console: Console) -> dict[str, Any]:
    from tools.benchmarks.plant_speed import run_plant  # as above

    return run_plant(console)


def _supervision(console: Console) -> dict[str, Any]:
    from tools.benchmarks.supervision import run_supervision  # as above

    return run_supervision(console)


def _uncertainty(console: Console) -> dict[str, Any]:
    from tools.benchmarks.uncertainty import run_uncertainty  # as above

    return run_uncertainty(console)


def _scaling(console: Console) -> dict[str, Any]:
    from tools.benchmarks.scaling import run_scaling  # as above

    return run_scaling(console)


def _levers(console: Console) -> dict[str, Any]:
    from tools.benchmarks.levers import run_levers  # as above

    return run_levers(console)


REGISTRY: dict[str, Benchmark] = {
    "control": _control,
    "converged": _converged,
    "cycle": _cycle,
    "estimators": _estimators,
    "forecast": _forecast,
    "levers": _levers,
    "mhe": _mhe,
    "nmpc": _nmpc,
    "observability": _observability,
    "pid": _pid,
    "plant": _plant,
    "realism": _realism,
    "scaling": _scaling,
    "supervision": _supervision,
    "uncertainty": _uncertainty,
}
