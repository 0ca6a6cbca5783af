"""Where tablets leave: the gate that takes out single ones, and the diverter, with their sensors.

The machine, not its PLC: the PLC sees only what `Outlet` reports back. Either can be jammed, which
is how a test or a fault scenario shows that the PLC notices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.plc.state import Diverter, OutletFeedback

__all__ = ["Outlet"]


class Outlet:
    """Diverter and gate.

    Parameters
    ----------
    travel
        Time [s] that the diverter takes from one side to the other.

    Attributes
    ----------
    diverter_jammed, gate_jammed : bool
        The diverter stays where it is; the gate takes out nothing.
    """

    def __init__(self, travel: float) -> None:
        self._travel = travel
        self._position = Diverter.DIVERT
        self._goal = Diverter.DIVERT
        self._moved = 0.0
        self._taken = 0
        self.diverter_jammed = self.gate_jammed = False

    @property
    def feedback(self) -> OutletFeedback:
        """What the sensors reported last."""
        return OutletFeedback(diverter=self._position, taken=self._taken)

    @property
    def collecting(self) -> bool:
        """Whether tablets go to the good side."""
        return self._position is Diverter.COLLECT

    def drive(self, goal: Diverter) -> None:
        """One second of the diverter on its way to ``goal``."""
        if self.diverter_jammed:
            return
        if goal is not self._goal:
            self._goal, self._moved = goal, 0.0
        if self._position is not goal:
            self._position = Diverter.MOVING
            self._moved += 1.0
            if self._moved > self._travel:
                self._position = goal

    def take(self, ordered: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take out the tablets ordered in this second: which ones really went."""
        gone = np.zeros_like(ordered) if self.gate_jammed else ordered
        self._taken = int(gone.sum())
        return gone

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {
            "position": self._position.value,
            "goal": self._goal.value,
            "moved": self._moved,
            "taken": self._taken,
            "jammed": [self.diverter_jammed, self.gate_jammed],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._position, self._goal = Diverter(state["position"]), Diverter(state["goal"])
        self._moved, self._taken = state["moved"], state["taken"]
        self.diverter_jammed, self.gate_jammed = state["jammed"]
