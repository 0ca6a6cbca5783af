"""Instruments of the stand-in: noise, faults, sampling, delay, status.

Noise as the line's data sheets state it, with faults beyond them from the scenario. Like all noise
it depends on seed, source and second only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from hil.config import Scheduled, TruthConfig
from hil.lab import Lab
from hil.load_cell import LoadCell
from hil.mismatch import mismatch_of
from hil.nir import Nir
from hil.noise import Noise, Occurrences
from hil.readings import FeederReadings, LabReading, Reading, Readings
from hil.truth_data import TruthOut
from plant_models.blender import hold_up_at, impeller_torque
from plant_models.line import ResolvedLine, blender_parameters, nominal_flow
from plant_models.signals import BAD, GOOD, UNCERTAIN

__all__ = ["FeederReadings", "Instruments", "LabReading", "Reading", "Readings"]


class Instruments:
    """All instruments of the line; ask once per plant second, in order.

    Parameters are those of `hil.truth.Truth`; the same seed gives the same plant.
    """

    def __init__(
        self,
        line: ResolvedLine,
        config: TruthConfig,
        seed: int,
        events: Sequence[Scheduled] = (),
    ) -> None:
        noise, mismatch = Noise(seed), mismatch_of(line, config, seed)
        faults = config.instruments
        self._noise, self._sheet, self._faults = noise, line.line.instruments, faults
        self._cells = tuple(
            LoadCell(feeder, self._sheet, faults, span, noise)
            for feeder, span in zip(line.line.feeders, mismatch.span, strict=True)
        )
        self._nir = Nir(line, faults, mismatch, noise, events)
        self._lab = Lab(line, faults, noise, events)
        self._level_spikes = Occurrences(noise, "instrument/level_spike", faults.level_spikes_per_h)
        blender = blender_parameters(line)
        self._nominal_hold_up = float(hold_up_at(blender, nominal_flow(line), blender.speed_0))
        self._nominal_speed = blender.speed_0
        self._forces: tuple[Reading, ...] = (Reading(0.0, BAD, 0.0),) * 5
        self._revolution = 0

    def measure(self, out: TruthOut) -> Readings:
        """Readings after the plant second of ``out``."""
        second, press, sheet = out.second, out.press, self._sheet
        gain = 1.0 + sheet.force_noise_percent / 100.0 * self._normal("main_force", second)
        main, main_rsd, pre, pre_rsd, ejection = self._measure_forces(out, gain)
        encoder = sheet.encoder_noise_um * 1e-6
        speed = sheet.speed_noise_percent
        return Readings(
            second=second,
            feeders=tuple(
                cell.measure(feeder, refill, hold, second)
                for cell, feeder, refill, hold in zip(
                    self._cells, out.feeders, out.drives.refill, out.drives.hold_flow, strict=True
                )
            ),
            blender_speed=self._relative(
                "blender_speed", out.powder.blender_speed, sheet.blender_speed_noise_percent, second
            ),
            torque=self._relative("torque", self._torque(out), sheet.torque_noise_percent, second),
            level=self._level(out.powder.chute_level, second),
            potency=self._nir.measure(out.powder, second),
            paddle_speed=self._relative("paddle_speed", press.paddle_speed, speed, second),
            main_force=main,
            main_force_rsd=main_rsd,
            pre_force=pre,
            pre_force_rsd=pre_rsd,
            ejection=ejection,
            turret_speed=self._relative("turret_speed", press.turret_speed, speed, second),
            fill_depth=self._absolute("fill_depth", press.fill_motor, encoder, second),
            thickness=self._absolute("thickness", press.thickness_motor, encoder, second),
            revolution=press.revolution.number,
            made=press.made,
            tablet_force=press.tablets.main_force * gain,
            tablet_station=press.tablets.station,
            lab=self._lab.measure(press.tablets, second),
        )

    def _normal(self, name: str, second: int) -> float:
        return float(self._noise.normal(f"instrument/{name}", second)[0])

    def _relative(self, name: str, true: float, percent: float, second: int) -> Reading:
        error = percent / 100.0 * self._normal(name, second)
        return Reading(true * (1.0 + error), GOOD, second)

    def _absolute(self, name: str, true: float, sigma: float, second: int) -> Reading:
        return Reading(true + sigma * self._normal(name, second), GOOD, second)

    def _torque(self, out: TruthOut) -> float:
        return float(
            impeller_torque(
                self._faults.torque_nominal_n_m,
                out.powder.hold_up / self._nominal_hold_up,
                out.powder.blender_speed / self._nominal_speed,
            )
        )

    def _level(self, true: float, second: int) -> Reading:
        error = self._sheet.level_noise_percent / 100.0 * self._normal("level", second)
        spike = self._level_spikes.size(second)
        if spike is not None:
            error += self._faults.level_spike_percent / 100.0 * spike
        return Reading(min(max(true + error, 0.0), 1.2), GOOD, second)

    def _measure_forces(self, out: TruthOut, gain: float) -> tuple[Reading, ...]:
        """Forces of the last revolution: Bad before the first, Uncertain where none is new."""
        turn, second = out.press.revolution, out.second
        if turn.number > self._revolution:
            pre_gain = 1.0 + self._sheet.force_noise_percent / 100.0 * self._normal(
                "pre_force", second
            )
            ejection_gain = 1.0 + self._sheet.ejection_noise_percent / 100.0 * self._normal(
                "ejection", second
            )
            values = (
                turn.main_force * gain,
                turn.main_rsd,
                turn.pre_force * pre_gain,
                turn.pre_rsd,
                turn.ejection * ejection_gain,
            )
            self._forces = tuple(Reading(value, GOOD, second) for value in values)
            self._revolution = turn.number
        elif self._forces[0].status == GOOD and out.press.tablets.count == 0:
            self._forces = tuple(Reading(r.value, UNCERTAIN, r.second) for r in self._forces)
        return self._forces

    def succeed(self, before: Instruments) -> None:
        """Go on where those of the product before stopped: at-line samples are numbered on."""
        self._lab.succeed(before._lab)

    def state(self) -> dict[str, Any]:
        """All that `measure` depends on, JSON-able."""
        return {
            "cells": [cell.state() for cell in self._cells],
            "nir": self._nir.state(),
            "lab": self._lab.state(),
            "forces": [list(astuple(reading)) for reading in self._forces],
            "revolution": self._revolution,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, bit for bit, from what `state` returned."""
        for cell, saved in zip(self._cells, state["cells"], strict=True):
            cell.restore(saved)
        self._nir.restore(state["nir"])
        self._lab.restore(state["lab"])
        self._forces = tuple(Reading(*item) for item in state["forces"])
        self._revolution = state["revolution"]
