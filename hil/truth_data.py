"""What goes into the truth model in one plant second and what comes out: frozen records in SI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drives", "FeederOut", "PowderOut", "PressOut", "Revolution", "Tablets", "TruthOut"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drives:
    """What the PLC sets for one plant second.

    Attributes
    ----------
    screw_speed : tuple of float
        Set point of each feeder's screw [rev/s]; 0 where it stands.
    refill : tuple of bool
        Refill valve of each feeder open.
    hold_flow : tuple of bool
        The flow signal of each feeder is frozen (refill active or settling).
    blender_speed, paddle_speed, turret_speed : float
        Set points [rev/s].
    fill_depth, thickness, pre_thickness : float
        Set points [m].
    """

    screw_speed: tuple[float, ...]
    refill: tuple[bool, ...]
    hold_flow: tuple[bool, ...]
    blender_speed: float
    paddle_speed: float
    turret_speed: float
    fill_depth: float
    thickness: float
    pre_thickness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederOut:
    """One feeder: content [kg] at the end of the second, means over it, lot in use.

    ``fed`` [kg] left through the screw, ``refilled`` [kg] came in, ``speed`` [rev/s] is the screw's
    mean speed.
    """

    content: float
    fed: float
    refilled: float
    speed: float
    lot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowderOut:
    """Blender, chute and feed frame at the end of the second; masses in kg.

    Attributes
    ----------
    hold_up, blender_speed, blended : float
        Blender: content, speed [rev/s], mass that left it in this second.
    chute_mass, chute_level : float
        Content and filled share of the chute's volume.
    frame_mass : float
        Content of the feed frame.
    fractions : tuple of float
        Mass fraction of each feeder's component in the frame.
    specific_volume : float
        Of the powder in the frame [m3/kg].
    pressure_scale, strength_0 : float
        Kawakita 1/b and strength at zero porosity of the powder in the frame [Pa].
    extent : float
        Its lubrication extent [rev].
    overflow : bool
        The chute is full: the blender cannot discharge.
    starved : bool
        The feed frame holds too little to fill the dies.
    """

    hold_up: float
    blender_speed: float
    blended: float
    chute_mass: float
    chute_level: float
    frame_mass: float
    fractions: tuple[float, ...]
    specific_volume: float
    pressure_scale: float
    strength_0: float
    extent: float
    overflow: bool
    starved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tablets:
    """The tablets made in this second, one entry each, in the order of compression.

    ``station`` int; ``weight`` [kg]; ``main_force``, ``pre_force``, ``ejection`` [N]; ``strength``
    [Pa]; ``assay`` share of label; ``revolution_assay`` its mean over the ``stations`` tablets that
    end with this one; ``thickness`` [m]; ``porosity`` [-].
    """

    station: NDArray[np.int64]
    weight: Array
    main_force: Array
    pre_force: Array
    ejection: Array
    strength: Array
    assay: Array
    revolution_assay: Array
    thickness: Array
    porosity: Array

    @property
    def count(self) -> int:
        """Number of tablets."""
        return int(self.weight.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revolution:
    """The last completed revolution: its number (0: none yet), mean [N] and RSD [-] of forces."""

    number: int
    main_force: float
    main_rsd: float
    pre_force: float
    pre_rsd: float
    ejection: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PressOut:
    """What the press did.

    Drives [m, rev/s] are those at the end of the second, as true position and as that of the motor,
    which is what the encoder sees. ``made`` counts tablets since the run began; ``taken`` [kg] left
    the feed frame as tablets in this second; ``potency`` is that of this powder, share of label.
    """

    turret_speed: float
    fill_depth: float
    fill_motor: float
    thickness: float
    thickness_motor: float
    pre_thickness: float
    paddle_speed: float
    made: int
    taken: float
    potency: float
    tablets: Tablets
    revolution: Revolution


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthOut:
    """One plant second of the truth: what was set, what happened, where it ended."""

    second: int
    drives: Drives
    feeders: tuple[FeederOut, ...]
    powder: PowderOut
    press: PressOut

    @property
    def powder_flow(self) -> float:
        """Powder pressed in this second [kg/s]."""
        return self.press.taken

    @property
    def mass(self) -> float:
        """Powder between the screws and the dies [kg]."""
        return self.powder.hold_up + self.powder.chute_mass + self.powder.frame_mass
