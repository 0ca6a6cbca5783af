"""What the estimator can tell apart: ranks, and what it says it knows after half an hour.

Two columns per case, and they are not the same thing. The standard deviation is the estimator's
own: the covariance recursion of the augmented twin, linearised at the reference point, with the
configured noise, from the configured prior, at constant set points. The error is measured: the
estimator follows plants whose truth it does not know (drawn mismatch), under the PLC's loops alone.

Rank: of the observability matrix over one window, columns scaled by the prior's standard deviation
and rows by the measurements'. ``rank`` counts singular values above `TOLERANCE` of the largest:
what could be found with enough data. ``informed`` counts those above 1: directions in which one
window says more than the prior. The newest lot's three effects (no lot is under way) and the
unexplained inflow (white, it has no level) are no part of it.

Offset-free is claimed for what is informed with the instruments that are there, and for nothing
that the load cells, the laboratory or the pre-compression force alone could tell, when they cannot:
a filler feeder without its cell, for one, is believed as if it were weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.config import EstimationConfig
from controller.data import Array
from controller.estimation.estimator import LineEstimator
from controller.estimation.window import MEASURED, selection
from controller.twin.core import INPUTS, OUTPUTS, PARAMETERS
from plant_models.feeder import feed_factor
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    feeder_parameters,
    nominal_flow,
    recipe_fractions,
)
from plant_models.signals import RefillPhase
from plant_models.variables import Structure
from tools.benchmarks.observability_runs import empirical_errors
from tools.configuration import load_controller, load_line
from tools.pki import twinline_home

__all__ = ["CASES", "SEEDS", "TOLERANCE", "Case", "Findings", "analyse", "run_observability"]

TOLERANCE = 1e-6
MINUTES = 30.0
SEEDS = (31, 32, 33, 34, 35)
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_LAB = ("lab_weight", "lab_strength", "lab_thickness")
_EXCLUDED = ("lot_volume", "lot_scale", "lot_strength", "inflow")
_DISTURBANCES = tuple(p for p in PARAMETERS if p not in _EXCLUDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Measured columns that are missing, and the role of a feeder without its load cell."""

    missing: tuple[str, ...] = ()
    volumetric: str = ""


CASES: dict[str, Case] = {
    "all instruments": Case(),
    "no NIR": Case(missing=("potency",)),
    "no lab": Case(missing=_LAB),
    "refill": Case(volumetric="filler"),
    "no level": Case(missing=("level",)),
    "no pre-compression": Case(missing=("pre_to_main",)),
}

# Quantity -> (what it is, unit, factor from SI or logarithm to it).
QUANTITIES: dict[str, tuple[str, float]] = {
    "specific_volume": ("%", 100.0),
    "pressure_scale": ("%", 100.0),
    "strength": ("%", 100.0),
    "potency_bias": ("% of label", 100.0),
    "feed_span": ("%", 100.0),
    "potency_span": ("%", 100.0),
    "compliance": ("%", 100.0),
    "discharge": ("%", 100.0),
    "thickness_offset": ("um", 1e6),
    "tablet_weight": ("%", 100.0),
    "tensile_strength": ("%", 100.0),
    "potency": ("% of label", 100.0),
}
_OF_OUTPUT = {
    "tablet_weight": "log_weight",
    "tensile_strength": "log_strength",
    "potency": "potency",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Of one case: ranks of ``size`` unknowns, SD of `QUANTITIES` and of the feeders' factors.

    ``sd`` is in the units of `QUANTITIES`, ``feed_factor_sd`` in %, by feeder name.
    """

    size: int
    rank: int
    informed: int
    sd: dict[str, float]
    feed_factor_sd: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Linear:
    """Twin at the reference point: ``z+ = F z + g inflow``, ``y = H z+``; prior and noise."""

    transition: Array
    inflow: Array
    measured: Array
    outputs: Array
    prior: Array
    walk: Array
    keep: Array


def _linearised(estimator: LineEstimator) -> _Linear:
    line, problem = estimator.resolved, estimator.problem
    speed, api = blender_parameters(line).speed_0, line.product.api_percent / 100.0
    named = {
        "feed": nominal_flow(line),
        "api": api,
        "lot": 0.0,
        "blender_speed": speed,
        "press": 7240.0,  # [N], the reference tablet's main force
        "thickness": line.line.press.thickness_mm * 1e-3,
        "turret_speed": 46.3 / 60.0,
        "lubricant": line.product.lubricant_percent / 100.0,
    }
    v = np.array([named[name] for name in INPUTS])
    x = estimator.twin.steady(named["feed"], api, 0.0, speed)
    out = estimator.one_stage(x, np.zeros((len(PARAMETERS), 1)), v[:, None])
    free, count = problem.free, len(PARAMETERS) - 1
    a, bp = out.a[:, :, 0], out.bp[:, :, 0]
    transition = np.eye(free.size + count)
    transition[: free.size, : free.size] = a[np.ix_(free, free)]
    transition[: free.size, free.size :] = bp[free, :count]
    outputs = np.hstack((out.hx[:, free, 0], out.hp[:, :count, 0]))
    unknown = [*range(free.size)] + [free.size + PARAMETERS.index(n) for n in _DISTURBANCES]
    none = np.zeros(len(MEASURED))
    prior = estimator.first_arrival(v, none, none).cov
    walk = np.append(np.zeros(free.size), problem.tuning.walk[:count] ** 2)
    return _Linear(
        transition=transition,
        inflow=np.append(bp[free, -1], np.zeros(count)) * problem.tuning.inflow / estimator.period,
        measured=selection(problem.cascade) @ outputs,
        outputs=outputs,
        prior=prior,
        walk=walk,
        keep=np.array(unknown),
    )


def _present(case: Case, sample: int, lab_every: int) -> list[int]:
    """Rows of `MEASURED` that are there at a sample (counted from 0)."""
    due = (sample + 1) % lab_every == 0
    return [
        i
        for i, name in enumerate(MEASURED)
        if name not in case.missing and (due or name not in _LAB)
    ]


def analyse(
    line: ResolvedLine,
    config: EstimationConfig,
    period: float,
    case: Case,
    minutes: float = MINUTES,
) -> Findings:
    """Ranks and standard deviations of one case.

    Parameters
    ----------
    line, config, period
        Line, estimator's settings, control period [s].
    case
        What is missing.
    minutes
        Running time after which the standard deviations hold.
    """
    estimator = LineEstimator(line, Structure.CASCADE, config, period, None)
    lin, sigma = _linearised(estimator), estimator.problem.tuning.sigma
    lab_every = round(line.line.instruments.lab_period_s / period)
    rows, step = [], np.eye(lin.transition.shape[0])
    for k in range(config.window_samples):
        step = lin.transition @ step
        there = _present(case, k, lab_every)
        rows.append((lin.measured[there] @ step) / sigma[there, None])
    scale = np.sqrt(np.diag(lin.prior))
    matrix = (np.vstack(rows) * scale)[:, lin.keep]
    singular = np.linalg.svd(matrix, compute_uv=False)
    cov = lin.prior
    for k in range(round(60.0 * minutes / period)):
        there = _present(case, k, lab_every)
        cov = _one_sample(lin, cov, lin.measured[there], sigma[there])
    at = estimator.problem.free.size
    sd = {n: float(np.sqrt(cov[at + i, at + i])) for i, n in enumerate(PARAMETERS[:-1])}
    for name, output in _OF_OUTPUT.items():
        h = lin.outputs[OUTPUTS.index(output)]
        sd[name] = float(np.sqrt(h @ cov @ h))
    return Findings(
        size=int(lin.keep.size),
        rank=int(np.sum(singular > TOLERANCE * singular[0])),
        informed=int(np.sum(singular > 1.0)),
        sd={name: sd[name] * factor for name, (_, factor) in QUANTITIES.items()},
        feed_factor_sd=_feed_factors(estimator, case, minutes),
    )


def _one_sample(lin: _Linear, cov: Array, h: Array, sigma: Array) -> Array:
    """Riccati recursion, Joseph's form."""
    cov = lin.transition @ cov @ lin.transition.T + np.outer(lin.inflow, lin.inflow)
    gain = np.linalg.solve(h @ cov @ h.T + np.diag(sigma**2), h @ cov).T
    keep = np.eye(cov.shape[0]) - gain @ h
    cov = keep @ cov @ keep.T + (gain * sigma**2) @ gain.T
    return np.asarray(0.5 * (cov + cov.T) + np.diag(lin.walk))


def _feed_factors(estimator: LineEstimator, case: Case, minutes: float) -> dict[str, float]:
    """SD [%] of each feed factor's deviation by its filter, without refills on the way."""
    line, found = estimator.resolved, {}
    shares = recipe_fractions(line)
    for config, f, share in zip(line.line.feeders, estimator.feeders, shares, strict=True):
        p, e = feeder_parameters(config), f.initial()
        content = e.content
        speed = share * nominal_flow(line) / float(feed_factor(p, content))
        for k in range(round(60.0 * minutes / estimator.period)):
            content -= float(feed_factor(p, content)) * speed * estimator.period
            blind = config.role == case.volumetric and k > 0
            e = f.update(e, None if blind else content, speed, RefillPhase.NONE)
        found[config.name] = 100.0 * float(np.sqrt(e.p_ss))
    return found


def run_observability(
    console: Console | None = None,
    minutes: float = MINUTES,
    seeds: Sequence[int] = SEEDS,
    cases: Mapping[str, Case] | None = None,
) -> dict[str, Any]:
    """The study; without ``seeds`` the linear part alone.

    Returns
    -------
    ``{"observability": {"tolerance", "minutes", "seeds", "units", <case>: {"size", "rank",
    "informed", "sd", "feed_factor_sd", "error"}}}``; ``error`` (RMS over the seeds, in ``units``)
    where the truth is known and runs were asked for. Names of cases have ``_`` for blanks.
    """
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    settings = load_controller(_CONFIGS / "controllers" / "nmpc.yaml")
    chosen = CASES if cases is None else cases
    period = float(settings.period_s)
    found = {n: analyse(line, settings.estimation, period, c, minutes) for n, c in chosen.items()}
    errors: dict[str, dict[str, float]] = {}
    if seeds:
        errors = empirical_errors(
            line,
            settings,
            {n: (c.missing, c.volumetric) for n, c in chosen.items()},
            seeds,
            minutes,
            twinline_home() / "cache",
            console,
        )
    scaled = {
        n: {q: e * QUANTITIES[q][1] for q, e in by.items() if q in QUANTITIES}
        for n, by in errors.items()
    }
    if console is not None:
        console.print(_table(found, scaled, minutes, len(seeds)))
    result: dict[str, Any] = {
        "tolerance": TOLERANCE,
        "minutes": minutes,
        "seeds": list(seeds),
        "units": {q: unit for q, (unit, _) in QUANTITIES.items()} | {"feed_factor": "%"},
    }
    for name, f in found.items():
        entry: dict[str, Any] = {
            "size": f.size,
            "rank": f.rank,
            "informed": f.informed,
            "sd": f.sd,
            "feed_factor_sd": f.feed_factor_sd,
        }
        if name in scaled:
            entry["error"] = scaled[name]
        result[name.replace(" ", "_").replace("-", "_")] = entry
    return {"observability": result}


def _table(
    found: Mapping[str, Findings],
    errors: Mapping[str, Mapping[str, float]],
    minutes: float,
    seeds: int,
) -> Table:
    note = f", in brackets the RMS error over {seeds} plants" if errors else ""
    table = Table(title=f"Standard deviation after {minutes:g} min{note}")
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    first = next(iter(found.values()))
    for label, attribute in (("rank", "rank"), ("informed by one window", "informed")):
        table.add_row(
            f"{label} (of {first.size})", *(str(getattr(f, attribute)) for f in found.values())
        )
    for quantity, (unit, _) in QUANTITIES.items():
        cells = []
        for name, f in found.items():
            error = errors.get(name, {}).get(quantity)
            shown = "" if error is None else f" ({error:.2f})"
            cells.append(f"{f.sd[quantity]:.2f}{shown}")
        table.add_row(f"{quantity} \\[{unit}]", *cells)
    for feeder in first.feed_factor_sd:
        cells = [f"{f.feed_factor_sd[feeder]:.2f}" for f in found.values()]
        table.add_row(f"feed factor {feeder} \\[%]", *cells)
    return table
