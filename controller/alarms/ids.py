"""Names of the entries of the alarm list."""

from __future__ import annotations

__all__ = ["Id"]


class Id:
    """Names of the entries."""

    PLANT_LOST = "plant-lost"
    SHED = "control-shed"
    INTERLOCK = "interlock"
    LIMITS = "limits-disagree"
    PRODUCT = "product-set"
    LEASE = "lease-lost"
    WATCHDOG = "watchdog"
    MEASUREMENTS = "measurements-missing"
    ALLOWANCE = "allowance-over"
    CRITICAL = "critical-lost"
    COMMANDS = "commands-refused"
    OUT_OF_SPEC = "out-of-specification"
    LOST = "instrument-lost"
    DOUBTFUL = "instrument-doubtful"
    LOCAL = "mv-local"
    SATURATED = "mv-saturated"
    ESTIMATOR = "estimator"
    MISMATCH = "model-mismatch"
    SOLVER = "solver"
    LATE = "cycles-missed"
    CLOCK = "clock-jump"
    CERTIFICATE = "certificate-expires"
    READINESS = "readiness-lost"
    WITHHELD = "commands-withheld"
    RESUME = "resume-ends"
    DIVERT = "diversion-requested"
    DIVERTING = "diverting"
    SUSPENDED = "suspended"
    FORECAST = "forecast"
    RELAXED = "targets-relaxed"
    FLOOD = "alarm-flood"
