"""What the alarms need of a controller and of the reports of a cycle."""

from __future__ import annotations

from controller.alarms.conditions import Watched
from controller.config import ControllerConfig
from controller.data import CV
from controller.measurement.health import HealthReport
from controller.measurement.ne107 import Ne107
from controller.supervision.loss_table import LOSS_LADDER
from plant_models.line import ResolvedLine
from plant_models.units import to_si

__all__ = ["doubts_of", "watched_of"]

_DOUBT = frozenset({Ne107.MAINTENANCE, Ne107.OUT_OF_SPEC, Ne107.CHECK})


def watched_of(config: ControllerConfig, line: ResolvedLine, owned: tuple[str, ...]) -> Watched:
    """What a controller of ``line`` that moves ``owned`` watches."""
    p = line.product
    limits = {
        CV.POTENCY: (p.assay_limits_percent, "%"),
        CV.TABLET_WEIGHT: (p.weight_limits_mg, "mg"),
        CV.TENSILE_STRENGTH: (p.tensile_strength_limits_mpa, "MPa"),
    }
    return Watched(
        owned=owned,
        instruments={row.name: row.instrument for row in LOSS_LADDER},
        specification={
            cv.value: (to_si(band.lo, unit), to_si(band.hi, unit))
            for cv, (band, unit) in limits.items()
        },
        period_s=float(config.period_s),
        config=config.supervision,
    )


def doubts_of(health: HealthReport | None) -> dict[str, str]:
    """Per instrument of the loss ladder, what its health has against it; failure is a loss."""
    if health is None:
        return {}
    found: dict[str, str] = {}
    for row in LOSS_LADDER:
        for tag in row.tags:
            signal = health.signals.get(tag)
            if signal is not None and signal.category in _DOUBT:
                found[row.name] = f"{signal.category}: {signal.text}"
                break
    return found
