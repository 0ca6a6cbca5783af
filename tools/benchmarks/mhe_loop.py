"""Estimators in the loop of the speed benchmark: what a measuring process does."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.estimation.window import Window
from controller.twin.core import INPUTS, OUTPUTS, PARAMETERS
from tools.benchmarks.mhe_problem import EstimationCase, quality
from tools.benchmarks.speed_child import Reporter

__all__ = ["EstimationResult", "Estimator", "measure_mhe", "run_estimation"]


class Estimator(Protocol):
    """An estimator in the loop."""

    @property
    def status(self) -> str:
        """What it said last."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain data, to be printed."""
        ...

    def begin(self, window: Window) -> None:
        """Take in the full window before the loop."""
        ...

    def estimate(self, window: Window) -> tuple[Array, Array]:
        """State (nx,) and parameters (np,) at the end of a window one sample later: timed."""
        ...


@dataclass(frozen=True, slots=True)
class EstimationResult:
    """One loop by steps: wall and CPU times, errors by quality attribute, what was going on."""

    ms: Array
    cpu_ms: Array
    errors: Mapping[str, Array]
    after_gross: NDArray[np.bool_]
    after_lot: NDArray[np.bool_]
    verdicts: tuple[str, ...]


def run_estimation(
    case: EstimationCase,
    estimator: Estimator,
    steps: int,
    seed: int,
    on_step: Callable[[int], None] | None = None,
) -> EstimationResult:
    """Run the first ``steps`` steps of the loop.

    Parameters
    ----------
    case
        The problem.
    estimator
        Who estimates.
    steps, seed
        How many steps, and what the readings are drawn from.
    on_step
        Told each step that is done.

    Returns
    -------
    Times, and the errors of what was estimated.
    """
    record, size = case.record(seed, steps), case.window
    measure = _outputs(case)
    estimator.begin(record.window(size - 1, size))
    wall, cpu, said, seen = [], [], [], []
    for k in range(steps):
        window = record.window(size + k, size)
        began, worked = time.perf_counter(), time.process_time()
        x, p = estimator.estimate(window)
        wall.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - worked))
        said.append(estimator.status)
        seen.append(np.asarray(measure(x, p, window.inputs[:, -1])).ravel())
        if on_step is not None:
            on_step(k)
    at = slice(size, size + steps)
    estimated, true = quality(np.array(seen).T), quality(record.y[:, at])
    return EstimationResult(
        ms=np.array(wall),
        cpu_ms=np.array(cpu),
        errors={name: estimated[name] - true[name] for name in true},
        after_gross=record.after_gross[at],
        after_lot=record.after_lot[at],
        verdicts=tuple(said),
    )


def _outputs(case: EstimationCase) -> Any:
    """``(x, p, v) -> y`` of the twin."""
    twin = case.line.twin
    x, p = ca.SX.sym("x", twin.path.size), ca.SX.sym("p", len(PARAMETERS))
    v = ca.SX.sym("v", len(INPUTS))
    named = twin.outputs(ca.vertsplit(x), ca.vertsplit(p), ca.vertsplit(v))
    return ca.Function("outputs", [x, p, v], [ca.vertcat(*(named[n] for n in OUTPUTS))])


def _make(estimator: str, case: EstimationCase) -> Estimator:
    if estimator == "ours":
        from tools.benchmarks.mhe_ours import OurMhe

        return OurMhe(case)
    if estimator == "dompc":
        from tools.benchmarks.mhe_dompc import DoMpcMhe

        return DoMpcMhe(case)
    raise ValueError(f"{estimator}: no such estimator in the benchmark")


def measure_mhe(
    reporter: Reporter,
    estimator: str,
    steps: int,
    seed: int,
    cache: str,
    samples: int | None = None,
) -> dict[str, Any]:
    """The first ``steps`` steps of the loop with the readings of one seed.

    Parameters
    ----------
    reporter
        Told of start and steps.
    estimator
        ``ours`` or ``dompc``.
    steps, seed
        Length of the loop, and of what it is drawn.
    cache
        Folder of compiled models; an empty one makes a cold start, no name compiles nothing.
    samples
        Length of the window; the configured one by default.

    Returns
    -------
    Per step ``ms``, ``cpu_ms``, ``errors`` by attribute, ``after_gross``, ``after_lot``;
    ``verdicts`` counted; ``settings``.
    """
    case = EstimationCase(Path(cache) if cache else None, samples)
    contestant = _make(estimator, case)
    reporter.ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of CasADi about multipliers
        found = run_estimation(case, contestant, steps, seed, reporter.step)
    return {
        "ms": found.ms.tolist(),
        "cpu_ms": found.cpu_ms.tolist(),
        "errors": {name: e.tolist() for name, e in found.errors.items()},
        "after_gross": found.after_gross.tolist(),
        "after_lot": found.after_lot.tolist(),
        "verdicts": dict(Counter(found.verdicts)),
        "settings": dict(contestant.settings),
    }
