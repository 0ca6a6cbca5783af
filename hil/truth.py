"""The truth: what the line really does, second by second, with all that the twin does not know.

Within a second the press takes from the feed frame as it was, the feeders deliver, and the powder
moves on; so a move of a feeder needs the whole way to the dies. Where nothing flows, nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.config import Scheduled, TruthConfig
from hil.feeding import Feeding
from hil.lots import Lots
from hil.mismatch import Mismatch, mismatch_of
from hil.noise import Noise
from hil.powder import Powder
from hil.pressing import Press
from hil.truth_data import (
    Drives,
    FeederOut,
    PowderOut,
    PressOut,
    Revolution,
    Tablets,
    TruthOut,
)
from plant_models.line import ResolvedLine

__all__ = [
    "Drives",
    "FeederOut",
    "PowderOut",
    "PressOut",
    "Revolution",
    "Tablets",
    "Truth",
    "TruthOut",
]


class Truth:
    """Powder and machine of the stand-in; stepped once per plant second, in order.

    Parameters
    ----------
    line
        The line as configured: what the twin knows too.
    config
        What the truth adds.
    seed
        Draws the mismatch (if drawn) and all noise.
    events
        Lot changes, from `ScenarioConfig.schedule`; others are not the truth's.

    Attributes
    ----------
    mismatch : Mismatch
        How this plant differs from the configured line.
    foreign : float
        Share of the product made before in the tablets of the last second [-].
    """

    def __init__(
        self,
        line: ResolvedLine,
        config: TruthConfig,
        seed: int,
        events: Sequence[Scheduled] = (),
    ) -> None:
        noise = Noise(seed)
        self.mismatch: Mismatch = mismatch_of(line, config, seed)
        lots = Lots(line, self.mismatch, events)
        self._feeding = Feeding(line, config.feeding, self.mismatch, noise, lots)
        self._powder = Powder(line, config, self.mismatch, lots)
        self._press = Press(line, config.press, self.mismatch, noise)
        self.foreign = 0.0

    def step(self, drives: Drives, second: int) -> TruthOut:
        """Advance from plant second ``second`` to the next one."""
        self.foreign = self._powder.foreign
        made = self._press.step(drives, second, self._powder.frame_row, self._powder.availability)
        fed = self._feeding.step(drives, second)
        powder = self._powder.step(fed, made.taken, drives, second)
        return TruthOut(second=second, drives=drives, feeders=fed, powder=powder, press=made)

    def inherit(
        self, before: dict[str, Any], *, blender: float, chute: float, frame: float
    ) -> None:
        """Begin with shares of what the line held in the saved state ``before``, marked as such."""
        self._powder.inherit(before["powder"], blender, chute, frame)

    def inventory(self) -> NDArray[np.float64]:
        """Mass of each component between screws and dies [kg]."""
        return self._powder.inventory()

    def state(self) -> dict[str, Any]:
        """All that `step` depends on, JSON-able."""
        return {
            "feeding": self._feeding.state(),
            "powder": self._powder.state(),
            "press": self._press.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, bit for bit, from what `state` returned."""
        self._feeding.restore(state["feeding"])
        self._powder.restore(state["powder"])
        self._press.restore(state["press"])
