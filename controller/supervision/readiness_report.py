"""The readiness report: one line per item, with its goal, from what was summed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np

from controller.data import CV
from controller.readiness_config import ReadinessConfig
from controller.supervision.advice_words import UNITS_OF, name_of
from controller.supervision.readiness_data import (
    CVS,
    FIELDS,
    TIME_EDGES_MS,
    ReadinessLine,
    ReadinessReport,
    ReadinessState,
    at,
    of_cv,
)
from plant_models.units import UNITS

__all__ = ["report"]

_P99 = 0.99


def report(state: ReadinessState, config: ReadinessConfig) -> ReadinessReport:
    """The report after a cycle; items of which the algorithm gives nothing are absent."""
    sums: list[float] = (state.total + state.open).tolist()
    lines = (
        _cycles(sums, config),
        *_forecasts(sums, state, config),
        *_samples(sums, state, config),
        *_gain(sums, config),
        *_health(sums, config),
    )
    return ReadinessReport(ready=all(line.good for line in lines), lines=lines)


def _cycles(sums: Sequence[float], config: ReadinessConfig) -> ReadinessLine:
    count = sums[at("cycles")]
    return ReadinessLine(
        name="cycles in ADVISORY",
        value=count,
        unit="",
        goal=f"at least {config.least_cycles}",
        good=count >= config.least_cycles,
        text=f"{count:.0f} cycles with the line running",
    )


def _forecasts(
    sums: Sequence[float], state: ReadinessState, config: ReadinessConfig
) -> Iterator[ReadinessLine]:
    """Error and coverage per CV."""
    ahead = f"{config.look_ahead_s / 60.0:.0f} min"
    for cv in CVS:
        unit, tolerance = UNITS_OF[cv], _tolerance(cv, state, config)
        k = of_cv(cv)
        n, error, square, banded, held = sums[k : k + 5]
        if tolerance is None or (n == 0.0 and sums[at("costs")] == 0.0):
            continue
        most, name = config.error_max_tolerances * tolerance, name_of(cv)
        enough = n >= config.least_cycles
        untouched = f"{n:.0f} forecasts that no move of the operator touched"
        rms = sqrt(square / n) * tolerance if n else None
        bias = error / n * tolerance if n else 0.0
        yield ReadinessLine(
            name=f"forecast error of {name}",
            value=rms,
            unit=unit,
            goal=f"at most {most:.3g}",
            good=enough and rms is not None and rms <= most,
            text=f"{ahead} ahead, {untouched}, mean {bias:+.2g} {unit}",
        )
        covered = 100.0 * held / banded if banded else None
        yield ReadinessLine(
            name=f"coverage of {name}",
            value=covered,
            unit="%",
            goal=f"at least {config.coverage_min_percent:g}",
            good=enough and covered is not None and covered >= config.coverage_min_percent,
            text=f"of the 95 % intervals {ahead} ahead held what came, {banded:.0f} judged",
        )


def _tolerance(cv: str, state: ReadinessState, config: ReadinessConfig) -> float | None:
    """Tolerance of a CV in its plant unit."""
    wanted, share = state.wanted.get(cv), config.tolerances.share(cv)
    if wanted is None or share is None:
        return None
    return share * abs(wanted) / UNITS[UNITS_OF[cv]].factor


def _samples(
    sums: Sequence[float], state: ReadinessState, config: ReadinessConfig
) -> Iterator[ReadinessLine]:
    n = sums[at("samples")]
    tolerance = _tolerance(CV.TABLET_WEIGHT.value, state, config)
    if n < config.least_samples or tolerance is None:
        return
    rms = sqrt(sums[at("sample square")] / n) * tolerance
    most, unit = config.error_max_tolerances * tolerance, UNITS_OF[CV.TABLET_WEIGHT.value]
    covered = f"{sums[at('sample covered')]:.0f} within the interval"
    yield ReadinessLine(
        name="tablet weight at the tester",
        value=rms,
        unit=unit,
        goal=f"at most {most:.3g}",
        good=rms <= most,
        text=f"{n:.0f} samples against what was forecast for them, {covered}",
    )


def _gain(sums: Sequence[float], config: ReadinessConfig) -> Iterator[ReadinessLine]:
    """What the plan would have gained: its forecast cost and what forecasts miss, against what was.

    Costs are mean square deviations from the targets, in tolerances.
    """
    n = sums[at("costs")]
    if n == 0.0:
        return
    errors = [sums[k + 2] / sums[k] for k in map(of_cv, CVS) if sums[k]]
    missed = sum(errors) / len(errors) if errors else 0.0
    planned, real = sums[at("planned cost")] / n + missed, sums[at("cost")] / n
    gain = 100.0 * (real - planned) / max(real, config.cost_floor)
    yield ReadinessLine(
        name="gain against the operator's settings",
        value=gain,
        unit="%",
        goal=f"at least {-config.loss_max_percent:g}",
        good=n >= config.least_cycles and gain >= -config.loss_max_percent,
        text=(
            f"mean square deviation in tolerances: {real:.3g} came to pass, {planned:.3g} expected "
            f"with the plan, of which {missed:.3g} is what forecasts miss"
        ),
    )


def _health(sums: Sequence[float], config: ReadinessConfig) -> Iterator[ReadinessLine]:
    n = sums[at("cycles")]
    if n == 0.0:
        return
    fast = 100.0 * sums[at("fast")] / n
    yield _share(
        "plans by a solver", sums[at("solved")] / n, config.solved_min_percent, f"{fast:.0f} % fast"
    )
    estimates = sums[at("estimates")]
    if estimates:
        yield _share(
            "estimator converged",
            sums[at("converged")] / n,
            config.converged_min_percent,
            "of the cycles",
        )
    yield _share(
        "permissives",
        sums[at("held")] / n,
        config.permissives_min_percent,
        "of the cycles had all but those that only control can fulfil",
    )
    times = sums[len(FIELDS) :]
    if any(times):
        counts = np.cumsum(times)
        p99 = float(TIME_EDGES_MS[int(np.searchsorted(counts, _P99 * counts[-1]))])
        yield ReadinessLine(
            name="time to solve",
            value=p99,
            unit="ms",
            goal=f"at most {config.solve_ms_max:g}",
            good=p99 <= config.solve_ms_max,
            text=f"99 % of {counts[-1]:.0f} cycles were no longer",
        )


def _share(name: str, share: float, least: float, text: str) -> ReadinessLine:
    percent = 100.0 * share
    return ReadinessLine(
        name=name,
        value=percent,
        unit="%",
        goal=f"at least {least:g}",
        good=percent >= least,
        text=text,
    )
