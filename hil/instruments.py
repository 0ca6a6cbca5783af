"""Instruments of the stand-in: noise, faults, sampling, delay, status.

Instruments(line, config, seed, events).measure(out) -> Readings
Instruments.state() / .restore(state)        JSON-able, bit-exact
"""

from __future__ import annotations

from hil.readings import FeederReadings, LabReading, Reading, Readings

__all__ = ["FeederReadings", "LabReading", "Reading", "Readings"]
