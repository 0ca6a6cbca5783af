"""How one seed's plant differs from the configured line, constant for the whole run.

In mode ``drawn`` each error is an independent normal deviate of mean 0 and standard deviation half
its range, cut at the range; in mode ``nominal`` it has its nominal value. Each error has its own
stream, so that adding one changes no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from hil.config import RoleErrors, TruthConfig, Uncertain
from hil.noise import Noise
from plant_models.line import ResolvedLine

__all__ = ["Mismatch", "mismatch_of"]

_NORMAL = NormalDist()
_CUT = 2.0  # ranges are two standard deviations
_LOWEST = _NORMAL.cdf(-_CUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Factors [-] on the configured values unless a unit is given; tuples are by feeder.

    ``nir_bias`` share of label, ``nir_delay`` added [s], ``nir_drift`` share of label per second,
    ``backlash`` [m].
    """

    bulk_density: float
    pressure_scale: float
    strength: float
    feed_factor: tuple[float, ...]
    peclet: float
    hold_up: float
    span: tuple[float, ...]
    nir_bias: float
    nir_delay: float
    nir_drift: float
    compliance: float
    backlash: float


def mismatch_of(line: ResolvedLine, config: TruthConfig, seed: int) -> Mismatch:
    """The plant of ``seed``: nominal errors or drawn ones, as the scenario says."""
    noise = Noise(seed)
    m = config.mismatch

    def value(name: str, error: Uncertain) -> float:
        if config.mismatch_mode == "nominal":
            return error.nominal
        share = float(noise.uniform(f"mismatch/{name}", 0)[0])
        deviate = _NORMAL.inv_cdf(_LOWEST + share * (1.0 - 2.0 * _LOWEST))
        return error.range * deviate / _CUT

    def factor(name: str, error: Uncertain) -> float:
        return 1.0 + value(name, error) / 100.0

    def by_feeder(name: str, errors: RoleErrors) -> tuple[float, ...]:
        return tuple(
            factor(f"{name}/{feeder.name}", getattr(errors, feeder.role))
            for feeder in line.line.feeders
        )

    return Mismatch(
        bulk_density=factor("bulk_density", m.bulk_density_percent),
        pressure_scale=factor("pressure_scale", m.pressure_scale_percent),
        strength=factor("strength", m.strength_percent),
        feed_factor=by_feeder("feed_factor", m.feed_factor_percent),
        peclet=factor("peclet", m.blender_peclet_percent),
        hold_up=factor("hold_up", m.blender_hold_up_percent),
        span=by_feeder("span", m.load_cell_span_percent),
        nir_bias=value("nir_bias", m.nir_bias_percent) / 100.0,
        nir_delay=value("nir_delay", m.nir_delay_s),
        nir_drift=value("nir_drift", m.nir_drift_percent_per_h) / 100.0 / 3600.0,
        compliance=factor("compliance", m.compliance_percent),
        backlash=max(0.0, (config.press.backlash_um + value("backlash", m.backlash_um)) * 1e-6),
    )
