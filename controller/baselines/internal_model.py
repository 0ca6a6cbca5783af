"""Internal model of the press for at-line trims: laboratory samples become disturbances.

(T1)  ln w = ln w_m(F, h) + d_w,   ln sigma = ln sigma_m(F, K) + d_s      model plus disturbance
(T2)  d+ = d + g (d_sample - d)                                          filter of the samples
(T3)  F*: ln sigma_m(F*, K) + d_s = ln sigma_sp;   h*: ln w_m(F*, h*) + d_w = ln w_sp

``F`` main force, ``h`` thickness setting, ``K`` lubrication extent; ``w_m`` and ``sigma_m`` are
the press equations at their configured constants. (T1, T2) place a sample at the force and the
setting that were in use *when it was taken*: that is the Smith predictor of a sampled loop whose
plant settles within seconds, so that neither the laboratory's dead time nor the sample interval
needs detuning. (T3) is the exact inverse, hence the decoupler: strength is a matter of force
alone, and weight of thickness at that force (the relative gain of the obvious pairing is 0). With
``g = 1 - exp(-T / lambda)`` the loop is an IMC loop with closed-loop time constant ``lambda``.

A lot changes the powder at once and a filter that is right for scatter is then too slow. So the
filter restarts after a lot marker: samples taken while the lot passes replace the disturbance, and
those after it are averaged from scratch, until their gain falls to ``g``.

References
----------
Internal model control: Garcia & Morari 1982, Ind Eng Chem Process Des Dev 21:308-323 (from
memory). Gain restart: recursive mean. Referral of a sample's strength to its weight: exponent of
the press equations at fixed fill, worked out (4.74 at the reference point).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log

from controller.data import LabSample
from plant_models import line as build
from plant_models.line import ResolvedLine
from plant_models.quality import (
    lubrication_factor,
    porosity_for_strength,
    tensile_strength,
    tensile_strength_from_breaking_force,
)
from plant_models.tablet_press import (
    compress_at_force,
    force_at_weight,
    kawakita_density,
    kawakita_pressure,
    weight_at_force,
)

__all__ = ["LabTrim", "OperatingRecord", "PressModel", "TrimTuning", "sample_disturbance", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingRecord:
    """What the press ran at: time [s], mean force [N], thickness setting [m], extent [rev]."""

    time: float
    force: float
    thickness: float
    extent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabTrim:
    """Disturbances (T1) in logarithms and how many samples were averaged into them.

    ``samples`` is 0 while the value is provisional: the next sample replaces it. ``running_since``
    and ``lot_time`` [s] say when the line came to running and when the last lot marker appeared;
    ``restart`` waits for the first sample of the new lot.
    """

    weight: float = 0.0
    strength: float = 0.0
    samples: int = 0
    running_since: float = float("inf")
    lot_time: float = float("-inf")
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimTuning:
    """Filter gains ``g`` of weight and strength; when a new lot passes the press [s]."""

    weight_gain: float
    strength_gain: float
    lot_arrives_s: float
    lot_settled_s: float


class PressModel:
    """Press equations at their configured constants, and their inverse (T3)."""

    def __init__(self, line: ResolvedLine) -> None:
        self.press = build.press_parameters(line)
        self.compaction = build.compaction(line.blend)
        self.strength_parameters = build.strength(line.blend, build.nominal_extent(line))
        self._blender = build.blender_parameters(line)
        self._frame = build.frame_parameters(line)

    def extent(self, flow: float) -> float:
        """Lubrication extent [rev] of tablets at a steady throughput [kg/s]."""
        from_blender = (self._blender.hold_up_0 / flow + 1.0 / self._blender.rate_0) * (
            self._blender.speed_0
        )
        return from_blender + self._frame.hold_up / flow * self._frame.paddle_speed

    def weight(self, force: float, thickness: float) -> float:
        """Weight [kg] at main force [N] and thickness setting [m]."""
        return float(weight_at_force(self.press, self.compaction, force, thickness))

    def strength(self, force: float, extent: float) -> float:
        """Tensile strength [Pa] at main force [N] and lubrication extent [rev]."""
        porosity = compress_at_force(self.press, self.compaction, force, 3e-3).porosity
        return float(tensile_strength(self.strength_parameters, porosity, extent))

    def force_for(self, strength: float, extent: float) -> float:
        """Force [N] that gives a tensile strength [Pa]; the largest one where none does (T3)."""
        p, c = self.strength_parameters, self.compaction
        reachable = p.sigma_0 * float(lubrication_factor(p, extent))
        porosity = float(porosity_for_strength(p, min(strength, 0.999 * reachable), extent))
        density = (1.0 - porosity) * (1.0 + self.press.recovery)
        densest = min(1.0, c.critical_density / (1.0 - c.a))
        density = min(max(density, c.critical_density * 1.001), 0.999 * densest)
        return float(kawakita_pressure(c, density)) * self.press.die_area

    def thickness_for(self, weight: float, force: float) -> float:
        """Thickness setting [m] at which ``force`` [N] presses ``weight`` [kg] (T3)."""
        density = float(kawakita_density(self.compaction, force / self.press.die_area))
        solid = weight / (self.compaction.true_density * self.press.die_area)
        return solid / density - force * self.press.compliance

    def strength_exponent(self, force: float, thickness: float) -> float:
        """``dln sigma / dln w`` [-] of single tablets: fixed fill depth, force free."""
        weight = self.weight(force, thickness)
        delta = 1e-3
        extent = self.strength_parameters.extent_0
        more, less = (
            self.strength(
                float(force_at_weight(self.press, self.compaction, weight * f, thickness)), extent
            )
            for f in (1.0 + delta, 1.0 - delta)
        )
        return log(more / less) / (2.0 * delta)


def sample_disturbance(
    model: PressModel, sample: LabSample, point: OperatingRecord, weight_now: float
) -> tuple[float, float]:
    """Disturbances (T1) of weight and strength that one sample shows.

    Parameters
    ----------
    model
        The press.
    sample
        Ten tablets or so.
    point
        What the press ran at when they were made.
    weight_now
        Disturbance of the weight as believed before the sample: ten tablets scatter in weight,
        and their strength is referred to the weight of all tablets.

    Returns
    -------
    Disturbances in logarithms: ``(weight, strength)``.
    """
    mean_weight = sum(sample.weights) / len(sample.weights)
    strengths = [
        float(tensile_strength_from_breaking_force(f, model.press.diameter, t))
        for f, t in zip(sample.forces, sample.thicknesses, strict=True)
    ]
    modelled = model.weight(point.force, point.thickness)
    d_weight = log(mean_weight / modelled)
    exponent = model.strength_exponent(point.force, point.thickness)
    mean_strength = sum(strengths) / len(strengths)
    referred = mean_strength * exp(exponent * (weight_now - d_weight))
    return d_weight, log(referred / model.strength(point.force, point.extent))


def update(
    model: PressModel,
    trim: LabTrim,
    tuning: TrimTuning,
    samples: Sequence[LabSample],
    history: Sequence[OperatingRecord],
) -> LabTrim:
    """Take new samples into the trim (T2); a sample older than the history is left out."""
    for sample in samples:
        point = _at(history, sample.taken)
        if point is None or len(sample.weights) == 0:
            continue
        since_lot = sample.taken - trim.lot_time
        new_lot = since_lot >= tuning.lot_arrives_s
        provisional = sample.taken < trim.running_since or (
            new_lot and since_lot < tuning.lot_settled_s
        )
        count = 0 if provisional or (trim.restart and new_lot) else trim.samples
        average = 1.0 / (count + 1)
        g_weight = max(average, tuning.weight_gain)
        d_weight, _ = sample_disturbance(model, sample, point, trim.weight)
        weight = trim.weight + g_weight * (d_weight - trim.weight)
        _, d_strength = sample_disturbance(model, sample, point, weight)
        g_strength = max(average, tuning.strength_gain)
        trim = replace(
            trim,
            weight=weight,
            strength=trim.strength + g_strength * (d_strength - trim.strength),
            samples=0 if provisional else count + 1,
            restart=trim.restart and not new_lot,
        )
    return trim


def _at(history: Sequence[OperatingRecord], time: float) -> OperatingRecord | None:
    """Record nearest to ``time``, ``None`` when the history does not reach back to it."""
    if not history or time < history[0].time - 10.0:
        return None
    return min(history, key=lambda point: abs(point.time - time))
