"""The truth: what the line really does, second by second, with all that the twin does not know.

Truth(line, config, seed, events).step(drives, second) -> TruthOut
Truth.state() / .restore(state)              JSON-able, bit-exact
"""

from __future__ import annotations

from hil.truth_data import (
    Drives,
    FeederOut,
    PowderOut,
    PressOut,
    Revolution,
    Tablets,
    TruthOut,
)

__all__ = [
    "Drives",
    "FeederOut",
    "PowderOut",
    "PressOut",
    "Revolution",
    "Tablets",
    "TruthOut",
]
