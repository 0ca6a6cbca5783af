"""One solver in the loop of the speed benchmarks: what a measuring process does."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tools.benchmarks.nmpc_loop import Contestant, run_loop
from tools.benchmarks.nmpc_problem import STAGES, Case
from tools.benchmarks.speed_child import Reporter

__all__ = ["measure_dompc_compiled", "measure_dompc_unpinned", "measure_nmpc"]


def _make(solver: str, case: Case, cache: str) -> Contestant:
    if solver in ("ours", "deployed"):
        from tools.benchmarks.nmpc_ours import Ours

        return Ours(case, case.blocked, Path(cache) if cache else None)
    if solver == "scenarios":
        from tools.benchmarks.nmpc_ours import OursWithScenarios

        return OursWithScenarios(case, case.blocked, Path(cache) if cache else None)
    if solver in ("ipopt", "fatrop"):
        from tools.benchmarks.nmpc_shooting import FATROP, IPOPT, Shooting

        return Shooting(case, solver, IPOPT if solver == "ipopt" else FATROP)
    if solver == "dompc":
        from tools.benchmarks.nmpc_dompc import DoMpc

        return DoMpc(case)
    raise ValueError(f"{solver}: no such solver in the benchmark")


def _measured(case: Case, contestant: Contestant, reporter: Reporter, steps: int) -> dict[str, Any]:
    reporter.ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of CasADi about multipliers
        result = run_loop(case, contestant, steps, on_step=reporter.step)
    return {
        "ms": result.ms.tolist(),
        "cpu_ms": result.cpu_ms.tolist(),
        "cost": result.cost.tolist(),
        "iterations": list(result.iterations),
        "verdicts": dict(Counter(result.verdicts)),
        "settings": {k: _plain(v) for k, v in contestant.settings.items()},
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, list)) else str(value)


def measure_nmpc(
    reporter: Reporter, solver: str, steps: int, cache: str, stages: int = STAGES
) -> dict[str, Any]:
    """The first ``steps`` steps of the loop.

    Parameters
    ----------
    reporter
        Told of start and steps.
    solver
        ``ours``, ``deployed`` (ours on the grid of the controller), ``scenarios``, ``ipopt``,
        ``fatrop`` or ``dompc``.
    steps, stages
        Length of the loop and of the horizon.
    cache
        Folder of compiled models; an empty one makes a cold start, no name compiles nothing.

    Returns
    -------
    Per step ``ms``, ``cpu_ms``, ``cost`` up to it, ``iterations``; ``verdicts`` counted;
    ``settings``.
    """
    case = Case(stages=stages)
    if solver == "deployed":
        case = Case(stages=case.config.optimisation.stages)
    return _measured(case, _make(solver, case, cache), reporter, steps)


def measure_dompc_compiled(
    reporter: Reporter, steps: int, folder: str, stages: int = STAGES
) -> dict[str, Any]:
    """The same for do-mpc after its ``compile_nlp``, or why that cannot run.

    Tried on a model of one state first: where it fails there, two minutes of compilation are saved.
    ``folder`` keeps what do-mpc compiles, which it looks for in the current directory.
    """
    from tools.benchmarks.nmpc_dompc import DoMpc, small_mpc

    here = Path.cwd()
    try:
        with TemporaryDirectory() as scratch:
            os.chdir(scratch)
            small_mpc().compile_nlp()
    except Exception as error:  # whatever it is, it is the answer
        return {"cannot_run": f"{type(error).__name__}: {error}"}
    finally:
        os.chdir(here)
    case = Case(stages=stages)
    contestant = DoMpc(case)
    os.chdir(folder)
    began = time.perf_counter()
    contestant.mpc.compile_nlp()
    compile_s = time.perf_counter() - began
    return {"compile_s": compile_s, **_measured(case, contestant, reporter, steps)}


def measure_dompc_unpinned(
    reporter: Reporter, limit_s: float, stages: int = STAGES
) -> dict[str, Any]:
    """The loop's first step with do-mpc without any favour, stopped after ``limit_s`` [s]."""
    from tools.benchmarks.nmpc_dompc import DoMpc

    case = Case(stages=stages)
    contestant = DoMpc(case, pinned=False, limit_s=limit_s)
    found = _measured(case, contestant, reporter, 1)
    return {
        "seconds": float(np.sum(found["ms"])) / 1e3,
        "iterations": found["iterations"][0],
        "verdict": next(iter(found["verdicts"])),
    }
