"""Estimates of a fit: every parameter and gain with its profile, and gains by kind of move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plant_models.press_cell import force_sensitivity, main_force
from tools.commissioning.press_events import Kind
from tools.commissioning.press_likelihood import Posterior
from tools.commissioning.press_priors import DERIVED, Prior
from tools.commissioning.press_result import Estimate, KindGains

__all__ = ["CLEARLY", "GAINS", "gain_of", "gains_by_kind", "intervals"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CLEARLY = 0.6  # of the standard deviation before the data: identified
GAINS = ("dF_dfill", "dF_dband", "dlnF_dlnW")
_STEP = 1e-6  # of fill depth and band in a gain [m]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quantity:
    """Something the coordinates give: how it is shown, its 95 % before the data if stated."""

    name: str
    text: str
    unit: str
    shown: float
    source: str
    of: Callable[[Array], float]
    before: tuple[float, float] | None = None
    held: bool = False
    log: bool = False


def gain_of(name: str, prior: Prior) -> Callable[[Array], float]:
    """A gain [SI] at the recording's usual running as a function of the coordinates."""
    at = prior.reference

    def of(u: Array) -> float:
        cell = prior.cell(u)
        if name == "dlnF_dlnW":
            return float(force_sensitivity(cell, at.force, at.band))
        fill, band = (_STEP, 0.0) if name == "dF_dfill" else (0.0, _STEP)
        more = main_force(cell, at.fill + fill, at.band + band)
        less = main_force(cell, at.fill - fill, at.band - band)
        return float(more - less) / (2.0 * _STEP)

    return of


def intervals(
    posterior: Posterior,
    none: Posterior,
    u: Array,
    used: Array,
    held: BoolArray,
    say: Callable[[str, float], None],
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """Parameters and gains at the optimum ``u``; ``used`` and ``held`` are the cell's.

    ``none`` is the posterior of no moves, its nominal coordinates the optimum of that.
    """
    parameters, gains = _parameters(posterior.prior, held), _gains(posterior.prior)
    found = []
    for i, quantity in enumerate((*parameters, *gains)):
        say(f"interval of {quantity.text}", i / (len(parameters) + len(gains)))
        found.append(_estimate(quantity, posterior, none, u, used))
    return tuple(found[: len(parameters)]), tuple(found[len(parameters) :])


def _parameters(prior: Prior, held: BoolArray) -> list[_Quantity]:
    def pressure_scale(u: Array) -> float:
        cell = prior.cell(u)
        return cell.scale if prior.law == "kawakita" else 1.0 / cell.heckel_slope

    def value(i: int) -> Callable[[Array], float]:
        return lambda u: prior.parameters[i].value(float(u[i]))

    free = [
        _Quantity(
            name=p.name,
            text=p.text,
            unit=p.unit,
            shown=p.shown,
            source=p.source,
            of=value(i),
            before=p.range,
            held=bool(held[i]),
            log=p.log,
        )
        for i, p in enumerate(prior.parameters)
    ]
    d = DERIVED[prior.law]
    shape = _Quantity(
        name="a",
        text="Kawakita a",
        unit="1",
        shown=1.0,
        source="of the two densities",
        of=lambda u: prior.cell(u).a,
    )
    return [
        *free,
        *([shape] if prior.law == "kawakita" else []),
        _Quantity(
            name=d.name,
            text=d.text,
            unit=d.unit,
            shown=d.shown,
            source=f"{d.source}; follows from the force level and the others",
            of=pressure_scale,
            before=d.range,
            log=d.log,
        ),
        _Quantity(
            name="bulk_density",
            text="bulk density in the die",
            unit="kg/m³",
            shown=1.0,
            source="nominal weight over the volume filled: rests on the tooling alone",
            of=lambda u: prior.cell(u).bulk_density,
        ),
    ]


def _gains(prior: Prior) -> list[_Quantity]:
    texts = ("force per fill depth", "force per band (thickness)", "rel. force per rel. weight")
    units = (("kN/mm", 1e-6), ("kN/mm", 1e-6), ("1", 1.0))
    return [
        _Quantity(
            name=name,
            text=text,
            unit=unit,
            shown=shown,
            source="law with the literature's parameters at the recording's level",
            of=gain_of(name, prior),
        )
        for name, text, (unit, shown) in zip(GAINS, texts, units, strict=True)
    ]


def _estimate(
    quantity: _Quantity, posterior: Posterior, none: Posterior, u: Array, used: Array
) -> Estimate:
    curve = posterior.profile(u, quantity.of)
    before = _sd(none, none.nominal, quantity.of)
    narrower = _sd(posterior, u, quantity.of) / max(before, 1e-30)
    centre = quantity.of(none.nominal)
    return Estimate(
        name=quantity.name,
        text=quantity.text,
        unit=quantity.unit,
        shown=quantity.shown,
        value=curve.estimate,
        lo=curve.lo,
        hi=curve.hi,
        prior=quantity.before or (centre - 1.96 * before, centre + 1.96 * before),
        used=quantity.of(used),
        identified=narrower <= CLEARLY,
        held=quantity.held,
        log=quantity.log,
        narrower=narrower,
        source=quantity.source,
        profile=curve,
    )


def _sd(posterior: Posterior, u: Array, of: Callable[[Array], float]) -> float:
    slope = posterior.jacobian(u, lambda v: np.atleast_1d(of(v)))[0]
    return float(np.sqrt(slope @ posterior.covariance(u) @ slope))


def gains_by_kind(posterior: Posterior, start: Array) -> dict[Kind, KindGains]:
    """Gains that the moves of one kind alone would give, with the same prior and spreads."""
    found = {}
    for kind in Kind:
        of = posterior.steps.kind == kind
        if not of.any():
            continue
        alone = replace(
            posterior,
            steps=posterior.steps.only(of),
            fixed=posterior.fixed[of],
            level=posterior.level[of],
        )
        u, _ = alone.solve(start)
        gains = {name: gain_of(name, posterior.prior) for name in GAINS}
        found[kind] = KindGains(
            count=int(of.sum()),
            gains={name: (g(u), _sd(alone, u, g)) for name, g in gains.items()},
        )
    return found
