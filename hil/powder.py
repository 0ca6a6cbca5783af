"""Powder between screws and dies: dispersed blender, first-in-first-out chute, feed frame.

Composition and every material attribute travel together as one row per parcel (`hil.lots`). The
equations are those of `plant_models`; the steps are explicit and take the mass at the end of the
step as the divisor, which makes them conserve every component to rounding:

    m_1 c_1 = m_1 c_0 + dt F_in (c_in - c_0) = m_0 c_0 + dt (F_in c_in - F_out c_0).
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.config import InitialConfig, TruthConfig
from hil.lots import PROPERTIES, Lots
from hil.mismatch import Mismatch
from hil.truth_data import Drives, FeederOut, PowderOut
from plant_models.blender import axial_dispersion_rates, outflow
from plant_models.chute import PlugFlow, level
from plant_models.feed_frame import frame_rate
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    chute_parameters,
    frame_parameters,
    recipe_fractions,
)

__all__ = ["Powder"]

Array = NDArray[np.float64]
_LEAST_STEPS = 4  # of the blender in one plant second
_LARGEST_STEP = 0.5  # of what keeps the explicit scheme free of overshoot


class Powder:
    """Blender, chute and feed frame of the truth."""

    def __init__(
        self, line: ResolvedLine, config: TruthConfig, mismatch: Mismatch, lots: Lots
    ) -> None:
        nominal = blender_parameters(line)
        self._blender = replace(
            nominal,
            hold_up_0=nominal.hold_up_0 * mismatch.hold_up,
            rate_0=nominal.rate_0 / mismatch.hold_up,
        )
        self._peclet = config.blender.peclet * mismatch.peclet
        self._chute_parameters = chute_parameters(line)
        self._frame = frame_parameters(line)
        self._starve = config.press.starve_frame_percent / 100.0
        self._components = len(line.components)
        self._volume = self._components  # column of the specific volume
        self._lots = lots
        self._fill(line, config.initial, config.blender.cells)

    def _fill(self, line: ResolvedLine, initial: InitialConfig, cells: int) -> None:
        """Contents at plant second 0, of the recipe's composition, without lubrication."""
        row = np.asarray(recipe_fractions(line)) @ self._lots.rows(0)
        self._cells: Array = np.tile(row, (cells, 1))
        self._hold_up = initial.blender_kg
        chute = initial.chute_percent / 100.0 * self._chute_parameters.volume
        self._chute = PlugFlow([])
        self._chute.push(chute / row[self._volume], row)
        self._frame_mass = initial.frame_percent / 100.0 * self._frame.hold_up
        self._frame_row: Array = row

    @property
    def foreign(self) -> float:
        """Share of the powder in the feed frame that is of the product made before [-]."""
        marked = self._volume > self._components
        return float(self._frame_row[self._components]) if marked else 0.0

    @property
    def frame_row(self) -> Array:
        """Attributes of the powder in the feed frame."""
        return self._frame_row

    @property
    def availability(self) -> float:
        """Share of a die that the feed frame can fill [-]: 1 unless it runs empty (assumed)."""
        return min(1.0, self._frame_mass / (self._starve * self._frame.hold_up))

    def step(
        self, fed: tuple[FeederOut, ...], taken: float, drives: Drives, second: int
    ) -> PowderOut:
        """One plant second: screws deliver ``fed``, the press has taken ``taken`` [kg]."""
        amounts = np.array([f.fed for f in fed])
        flow = float(amounts.sum())
        inlet = (amounts @ self._rows(second)) / flow if flow > 0.0 else self._cells[0]
        free = self._free()
        blended, mixed, overflow = self._blend(flow, inlet, drives.blender_speed, free)
        if blended > 0.0:
            self._chute.push(blended, mixed)
        self._feed_frame(taken, drives.paddle_speed)
        return self._out(drives, blended, overflow)

    def _rows(self, second: int) -> Array:
        """Attributes of what leaves each screw; of this product, where another one is marked."""
        rows = self._lots.rows(second)
        n = self._components
        return rows if self._volume == n else np.insert(rows, n, 0.0, axis=1)

    def _free(self) -> float:
        """Volume left in the chute [m3]."""
        mean = self._chute.mean()
        used = 0.0 if mean is None else self._chute.mass * float(mean[self._volume])
        return max(0.0, self._chute_parameters.volume - used)

    def _blend(
        self, flow_in: float, inlet: Array, speed: float, free: float
    ) -> tuple[float, Array, bool]:
        """Mass out [kg], its mean attributes, and whether the chute held some back."""
        source = np.zeros(inlet.size)
        source[-1] = speed
        steps = self._steps(flow_in, speed)
        dt = 1.0 / steps
        out, total, blocked = 0.0, np.zeros(inlet.size), False
        for _ in range(steps):
            flow_out = float(outflow(self._blender, self._hold_up, speed))
            most = free / float(self._cells[-1, self._volume]) / dt
            if flow_out > most:
                flow_out, blocked = most, True
            mass = flow_out * dt
            free -= mass * float(self._cells[-1, self._volume])
            total += mass * self._cells[-1]
            out += mass
            self._hold_up += flow_in * dt - mass
            if flow_in > 0.0 or flow_out > 0.0 or speed > 0.0:
                self._cells = self._cells + dt * axial_dispersion_rates(
                    self._cells, inlet, self._hold_up, flow_in, flow_out, self._peclet, source
                )
        return out, total / out if out > 0.0 else total, blocked

    def _steps(self, flow_in: float, speed: float) -> int:
        """Steps in this second that keep the explicit scheme stable."""
        n = self._cells.shape[0]
        back = n / self._peclet - 0.5
        largest = max(flow_in, float(outflow(self._blender, self._hold_up, speed)))
        fastest = (1.0 + 2.0 * back) * largest * n / self._hold_up
        return max(_LEAST_STEPS, ceil(fastest / _LARGEST_STEP)) if largest > 0.0 else 1

    def _feed_frame(self, taken: float, paddle_speed: float) -> None:
        left = self._frame_mass - taken
        inflow, row = self._chute.pull(max(0.0, self._frame.hold_up - left))
        source = np.zeros(self._frame_row.size)
        source[-1] = paddle_speed
        self._frame_mass = left + inflow
        if self._frame_mass <= 0.0:
            return
        now = replace(self._frame, hold_up=self._frame_mass)
        inlet = self._frame_row if row is None else row
        self._frame_row = self._frame_row + frame_rate(now, self._frame_row, inlet, inflow, source)

    def _out(self, drives: Drives, blended: float, overflow: bool) -> PowderOut:
        row, n, first = self._frame_row, self._components, self._volume
        mean = self._chute.mean()
        filled = (
            0.0
            if mean is None
            else level(self._chute_parameters, self._chute.mass, float(mean[self._volume]))
        )
        return PowderOut(
            hold_up=self._hold_up,
            blender_speed=drives.blender_speed,
            blended=blended,
            chute_mass=self._chute.mass,
            chute_level=filled,
            frame_mass=self._frame_mass,
            fractions=tuple(float(x) for x in row[:n]),
            **{name: float(row[first + i]) for i, name in enumerate(PROPERTIES)},
            overflow=overflow,
            starved=self.availability < 1.0,
        )

    def inventory(self) -> Array:
        """Mass of each component between screws and dies [kg]."""
        n = self._components
        total = self._hold_up * self._cells.mean(axis=0) + self._frame_mass * self._frame_row
        for mass, row in self._chute.parcels():
            total = total + mass * row
        return np.asarray(total[:n])

    def inherit(self, state: dict[str, Any], blender: float, chute: float, frame: float) -> None:
        """Take over shares [-] of what another product left, from its `state`, and mark them.

        A column behind the components then carries the share of the other product; feeders and
        blender cells must be as many as they were.
        """
        n, width = self._components, self._components + len(PROPERTIES)
        before = np.array(state["cells"])
        if before.shape[0] != self._cells.shape[0] or not width <= before.shape[1] <= width + 1:
            raise ValueError("the line before had other feeders or another blender")

        def marked(rows: Array) -> Array:
            plain = np.delete(rows, n, -1) if rows.shape[-1] > width else rows
            return np.insert(plain, n, 1.0, -1)

        self._volume = n + 1
        self._hold_up, self._cells = _mixed(
            blender * state["hold_up"],
            marked(before),
            self._hold_up,
            np.insert(self._cells, n, 0.0, -1),
        )
        self._frame_mass, self._frame_row = _mixed(
            frame * state["frame_mass"],
            marked(np.array(state["frame_row"])),
            self._frame_mass,
            np.insert(self._frame_row, n, 0.0, -1),
        )
        own = [(mass, np.insert(row, n, 0.0, -1)) for mass, row in self._chute.parcels()]
        self._chute = PlugFlow([])
        for mass, row in state["chute"]:
            if chute * mass > 0.0:
                self._chute.push(chute * mass, marked(np.array(row)))
        for mass, row in own:
            self._chute.push(mass, row)

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {
            "hold_up": self._hold_up,
            "cells": self._cells.tolist(),
            "chute_mass": self._chute.mass,
            "chute": [[mass, row.tolist()] for mass, row in self._chute.parcels()],
            "frame_mass": self._frame_mass,
            "frame_row": self._frame_row.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._hold_up = state["hold_up"]
        self._cells = np.array(state["cells"])
        self._chute = PlugFlow([(mass, np.array(row)) for mass, row in state["chute"]])
        self._chute.mass = state["chute_mass"]  # the running sum, not the sum of the parcels
        self._frame_mass = state["frame_mass"]
        self._frame_row = np.array(state["frame_row"])
        self._volume = self._cells.shape[1] - len(PROPERTIES)


def _mixed(first: float, a: Array, second: float, b: Array) -> tuple[float, Array]:
    """Mass [kg] and mean attributes of two amounts; of the second where there is nothing."""
    total = first + second
    return total, b if total <= 0.0 else (first * a + second * b) / total
