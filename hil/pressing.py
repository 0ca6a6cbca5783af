"""The rotary press of the truth: every tablet of a second at once, with scatter.

Equations of `plant_models.tablet_press` and `quality`. Added here, as noise on their inputs:
die-fill scatter from tablet to tablet, which grows above the critical turret speed; bulk density
noise of two time scales; punch lengths, of which one part belongs to the station and one to the
tablet, sized by the scatter of force they make at the reference point; a strain-rate dependent
pressure scale; backlash of the drives.

References
----------
Sizes: tuned by the project's owner to the 1,005 recorded batches of Zagar & Mihelic 2022, Sci Data
9:99 (read). Strain rate: mass-weighted mean of 25.6 % over 0.033 to 300 mm/s, four decades, hence
6.4 % per decade (Roberts & Rowe 1985, read as table 9.7 of Ridgway Watt & Armstrong 2008).
"""

from __future__ import annotations

from dataclasses import replace
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.config import PressTruth
from hil.drive import Drive
from hil.mismatch import Mismatch
from hil.noise import Correlated, Noise
from hil.truth_data import Drives, PressOut, Revolution, Tablets
from plant_models.line import (
    ResolvedLine,
    compaction,
    nominal_extent,
    press_parameters,
    strength,
)
from plant_models.quality import assay, potency, tensile_strength
from plant_models.regulatory import force_re_reference
from plant_models.tablet_press import (
    compress_at_fill,
    critical_turret_speed,
    ejection_force,
    fill_depth_for_weight,
    fill_fraction,
    force_at_weight,
    speed_pressure_scale,
)

__all__ = ["Press"]

Array = NDArray[np.float64]
_RPM = 1.0 / 60.0
_EMPTY = 0.02  # share of a die below which no tablet is made
_STANDSTILL = 1e-3  # turret speed [rev/s] below which a stopped turret stands


class Press:
    """Die filling and compression of the truth."""

    def __init__(
        self, line: ResolvedLine, truth: PressTruth, mismatch: Mismatch, noise: Noise
    ) -> None:
        nominal = press_parameters(line)
        self._parameters = replace(
            nominal,
            compliance=nominal.compliance * mismatch.compliance,
            rate_sensitivity=truth.strain_rate_percent_per_decade / 100.0,
        )
        self._compaction = compaction(line.blend)
        self._strength = strength(line.blend, nominal_extent(line))
        self._label_fraction = line.product.api_percent / 100.0
        self._label = self._label_fraction * line.product.weight_mg * 1e-6
        self._api = line.feeder_index("api")
        self._truth, self._noise = truth, noise
        self._fast = Correlated(noise, "press/density_fast", truth.density_fast_s)
        self._slow = Correlated(noise, "press/density_slow", truth.density_slow_s)
        self._most = 2 * nominal.stations  # tablets in one second: 120 rpm
        self._punch_station, self._punch_tablet = self._punches(line)
        p = line.line.press
        fill = float(
            fill_depth_for_weight(
                nominal, line.product.weight_mg * 1e-6, 1.0 / line.blend.bulk_density_kg_m3
            )
        )
        self._tau_turret = p.turret_time_constant_s
        self._fill = Drive(p.fill_time_constant_s, mismatch.backlash, fill)
        self._thickness = Drive(
            p.thickness_time_constant_s, mismatch.backlash, p.thickness_mm * 1e-3
        )
        self._turret = 0.0
        self._phase = 0.0
        self._dies = 0
        self._made = 0
        # main force, pre-compression force, ejection force, assay of the last tablets
        self._last: Array = np.zeros((4, nominal.stations))
        self._revolution = Revolution(
            number=0, main_force=0.0, main_rsd=0.0, pre_force=0.0, pre_rsd=0.0, ejection=0.0
        )

    def _punches(self, line: ResolvedLine) -> tuple[Array, float]:
        """Punch lengths [m]: of each station, mean 0, and SD from tablet to tablet.

        Both are sized so that together they scatter the force of equal tablets by the configured
        share at the reference point.
        """
        thickness = line.line.press.thickness_mm * 1e-3
        weight = line.product.weight_mg * 1e-6
        p, c = self._parameters, self._compaction
        force = float(force_at_weight(p, c, weight, thickness))
        move = 1e-6
        slope = float(force_re_reference(p, c, force, thickness, move)) / move
        length = abs(self._truth.tooling_force_percent / 100.0 * force / slope)
        share = self._truth.tooling_station_share
        deviates = self._noise.normal("press/punch", 0, p.stations)
        deviates = deviates - deviates.mean()
        station = length * share**0.5 * deviates / max(float(deviates.std()), 1e-12)
        return np.asarray(station), length * (1.0 - share) ** 0.5

    def step(self, drives: Drives, second: int, powder: Array, availability: float) -> PressOut:
        """One plant second with ``powder`` attributes in a frame that can fill ``availability``."""
        count = self._rotate(drives.turret_speed)
        density = self._density(second)
        if availability < _EMPTY:
            count = 0
        times = (np.arange(count) + 0.5) / max(count, 1)
        fill = self._fill.move(drives.fill_depth, times)
        thickness = self._thickness.move(drives.thickness, times)
        station = (self._dies - count + np.arange(count)) % self._parameters.stations
        tablets = self._compress(
            drives, second, powder, density * availability, fill, thickness, station
        )
        self._made += count
        self._close_revolution(count)
        return PressOut(
            turret_speed=self._turret,
            fill_depth=self._fill.position,
            fill_motor=self._fill.motor,
            thickness=self._thickness.position,
            thickness_motor=self._thickness.motor,
            pre_thickness=drives.pre_thickness,
            paddle_speed=drives.paddle_speed,
            made=self._made,
            taken=float(tablets.weight.sum()),
            potency=float(potency(powder[self._api], self._label_fraction)),
            tablets=tablets,
            revolution=self._revolution,
        )

    def _rotate(self, set_point: float) -> int:
        """Turn the turret for one second; number of dies that passed the main roll."""
        tau, start = self._tau_turret, self._turret
        decay = exp(-1.0 / tau)
        turns = set_point + (start - set_point) * tau * (1.0 - decay)
        self._turret = set_point + (start - set_point) * decay
        if set_point <= 0.0 and self._turret < _STANDSTILL:
            self._turret = 0.0
        passed = self._phase + turns * self._parameters.stations
        count = int(passed)
        self._phase = passed - count
        self._dies += count
        return min(count, self._most)

    def _density(self, second: int) -> float:
        """Relative bulk density in the die of this second [-]."""
        fast = self._truth.density_fast_percent / 100.0 * self._fast.step(second)
        slow = self._truth.density_slow_percent / 100.0 * self._slow.step(second)
        return 1.0 + fast + slow

    def _filling(self, drives: Drives, second: int, count: int) -> Array:
        """Filled share of each die: (P2) and its scatter."""
        p = self._parameters
        excess = max(
            0.0, self._turret - float(critical_turret_speed(p, max(drives.paddle_speed, 1e-6)))
        )
        rsd = self._truth.weight_rsd_percent / 100.0
        rsd *= 1.0 + self._truth.weight_rsd_growth_per_rpm * excess / _RPM
        scatter = self._noise.normal("press/weight", second, self._most)[:count]
        mean = float(fill_fraction(p, self._turret, drives.paddle_speed))
        return np.asarray(max(mean, 0.0) * np.maximum(1.0 + rsd * scatter, 0.0))

    def _compress(
        self,
        drives: Drives,
        second: int,
        powder: Array,
        density: float,
        fill: Array,
        thickness: Array,
        station: NDArray[np.int64],
    ) -> Tablets:
        n, count = powder.size - 4, fill.size
        volume, scale, strength_0, extent = (float(x) for x in powder[n:])
        main_punch, pre_punch = (
            self._punch_tablet * self._noise.normal(name, second, self._most)[:count]
            + self._punch_station[station]
            for name in ("press/main_punch", "press/pre_punch")
        )
        p = self._parameters
        c = replace(self._compaction, scale=speed_pressure_scale(p, scale, self._turret))
        filled = self._filling(drives, second, count) * density
        made = compress_at_fill(p, c, fill, thickness - main_punch, volume, filled)
        pre = force_at_weight(p, c, made.weight, drives.pre_thickness - pre_punch)
        ejection = ejection_force(p, made.pressure, extent)
        content = assay(float(powder[self._api]), made.weight, self._label)
        mean_assay = self._remember(made.main_force, pre, ejection, content)
        return Tablets(
            station=station,
            weight=made.weight,
            main_force=made.main_force,
            pre_force=pre,
            ejection=ejection,
            strength=tensile_strength(
                replace(self._strength, sigma_0=strength_0), made.porosity, extent
            ),
            assay=content,
            revolution_assay=mean_assay,
            thickness=made.thickness,
            porosity=made.porosity,
        )

    def _remember(self, main: Array, pre: Array, ejection: Array, content: Array) -> Array:
        """Append the new tablets; mean assay over one revolution ending with each of them."""
        stations = self._parameters.stations
        known = min(self._made, stations)
        self._last = np.concatenate((self._last, np.stack((main, pre, ejection, content))), axis=1)
        assays = self._last[3, stations - known :]
        sums = np.concatenate(([0.0], np.cumsum(assays)))
        ends = np.arange(known + 1, assays.size + 1)
        starts = np.maximum(ends - stations, 0)
        return np.asarray((sums[ends] - sums[starts]) / (ends - starts))

    def _close_revolution(self, count: int) -> None:
        """Publish the last revolution completed, and forget what is older than one."""
        stations = self._parameters.stations
        over = self._made % stations
        if count > over and self._made >= stations:
            size = self._last.shape[1]
            done = self._last[:3, size - over - stations : size - over]
            means, spread = done.mean(axis=1), done.std(axis=1)
            self._revolution = Revolution(
                number=self._made // stations,
                main_force=float(means[0]),
                main_rsd=float(spread[0] / means[0]) if means[0] > 0.0 else 0.0,
                pre_force=float(means[1]),
                pre_rsd=float(spread[1] / means[1]) if means[1] > 0.0 else 0.0,
                ejection=float(means[2]),
            )
        self._last = self._last[:, -stations:]

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        r = self._revolution
        return {
            "fill": self._fill.state(),
            "thickness": self._thickness.state(),
            "turret": self._turret,
            "phase": self._phase,
            "dies": self._dies,
            "made": self._made,
            "last": self._last.tolist(),
            "revolution": [r.number, r.main_force, r.main_rsd, r.pre_force, r.pre_rsd, r.ejection],
            "density": [self._fast.state(), self._slow.state()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._fill.restore(state["fill"])
        self._thickness.restore(state["thickness"])
        self._turret, self._phase = state["turret"], state["phase"]
        self._dies, self._made = state["dies"], state["made"]
        self._last = np.array(state["last"])
        number, main, main_rsd, pre, pre_rsd, ejection = state["revolution"]
        self._revolution = Revolution(
            number=number,
            main_force=main,
            main_rsd=main_rsd,
            pre_force=pre,
            pre_rsd=pre_rsd,
            ejection=ejection,
        )
        self._fast.restore(state["density"][0])
        self._slow.restore(state["density"][1])
