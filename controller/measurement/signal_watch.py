"""One signal, one cycle: what its own past and the twin say against a reading.

(G1)  z = (y - mean) / sd,   S+ = S + (z^2 - S) / N        innovation against the twin
(G2)  report where S > S_max, give up after |z| > z_max for n readings in a row

S has about 2 N - 1 degrees of freedom: a chi-square gate. For N = 24 white innovations pass 2.3
once in a million; those of a line that is not quite the twin are larger for minutes, so that the
shipped S_max is wider. Memory is a tuple per signal; values in SI.
"""

from __future__ import annotations

from math import isfinite, log, nan
from statistics import median
from typing import NamedTuple

from controller.data import Measurement
from controller.measurement.ne107 import Defect
from controller.measurement.robust import is_spike, unit_ratio
from controller.measurement_config import MeasurementConfig, SignalCheckConfig

__all__ = ["Finding", "SignalMemory", "watch"]

_COUNTED = (1 << 60) - 1
_FAR_OFF = log(1.6)
_LEAST = 5
_UNIT_READINGS = 2
_UNSTEADY_WEIGHT = 0.25
_MISREAD = frozenset({Defect.RANGE, Defect.SPIKE, Defect.RATE, Defect.NONE, Defect.UNCERTAIN})


class SignalMemory(NamedTuple):
    """What is remembered of a signal.

    ``value`` was the last new reading, ``same`` how many in a row were equal to it, ``recent`` the
    last ones that could be measured, ``spikes`` a bit per reading, newest lowest. ``far`` counts
    readings in a row far from the twin, ``square`` is the mean square of its surprises. ``right``
    is what the signal read before its unit went wrong, ``misread`` for how many readings.
    """

    value: float = nan
    time: float = nan
    same: int = 1
    recent: tuple[float, ...] = ()
    spikes: int = 0
    far: int = 0
    square: float = 1.0
    right: float = nan
    misread: int = 0


class Finding(NamedTuple):
    """What was found: defect, in words, and the share of the weight that is left."""

    defect: Defect
    text: str
    share: float


_FINE = Finding(Defect.NONE, "", 1.0)


def watch(
    old: SignalMemory,
    m: Measurement,
    defect: Defect,
    check: SignalCheckConfig,
    config: MeasurementConfig,
    *,
    running: bool,
    expected: tuple[float, float] | None,
) -> tuple[SignalMemory, Finding]:
    """Judge a reading.

    Parameters
    ----------
    old
        Memory of the signal.
    m, defect
        Reading and what validation found.
    check, config
        Settings.
    running
        Whether the line runs: only then is anything judged.
    expected
        Mean and standard deviation of what the twin expected; None if it knows nothing.

    Returns
    -------
    New memory, and what is found beyond validation.
    """
    if defect is Defect.CONTEXT:
        return old._replace(recent=(), same=1, value=nan, far=0), _FINE
    if not isfinite(m.value) or defect not in _MISREAD or m.source_time == old.time:
        return old, _FINE
    value = m.value
    same = old.same + 1 if value == old.value else 1
    seen = old._replace(value=value, time=m.source_time, same=same)
    if not running:
        return seen._replace(recent=(), far=0), _FINE
    seen, wrong = _unit(seen, value, config, expected)
    if wrong:
        certain = seen.misread >= _UNIT_READINGS
        return seen, Finding(Defect.UNIT if certain else Defect.SPIKE, wrong, 0.0)
    if check.flat_readings is not None and same >= check.flat_readings:
        return seen, Finding(Defect.FROZEN, f"frozen for {same} readings", 0.0)
    spike = _is_spike(seen.recent, value, check, config)
    spikes = ((old.spikes << 1) | (spike or defect is Defect.SPIKE)) & _COUNTED
    recent = (*seen.recent, value)[-config.spike_window :]
    seen = seen._replace(spikes=spikes, recent=recent)
    count = spikes.bit_count()
    unsteady = count >= config.spikes_of_60
    text = f"{count} spikes in the last 60 readings" if unsteady else ""
    if m.weight <= 0.0:
        return seen, Finding(Defect.SPIKING, text, 0.0) if unsteady else _FINE
    seen, finding = _twin(seen, value, check, config, expected)
    if finding is not None and finding.share == 0.0:
        return seen, finding
    if unsteady:
        return seen, Finding(Defect.SPIKING, text, 0.0 if spike else _UNSTEADY_WEIGHT)
    return seen, finding or _FINE


def _is_spike(
    recent: tuple[float, ...], value: float, check: SignalCheckConfig, config: MeasurementConfig
) -> bool:
    floor = check.scatter_percent / 100.0 * abs(value)
    # Most readings are near the last one: no need to sort for them.
    if recent and abs(value - recent[-1]) <= 0.5 * config.spike_deviations * floor:
        return False
    return is_spike(value, recent, config.spike_deviations, floor)


def _unit(
    seen: SignalMemory,
    value: float,
    config: MeasurementConfig,
    expected: tuple[float, float] | None,
) -> tuple[SignalMemory, str]:
    """Whether the reading has the wrong unit, now or still."""
    tolerance = config.unit_tolerance_percent / 100.0
    if seen.misread:
        if value > 0.0 and abs(log(value / seen.right)) < _FAR_OFF:
            return seen._replace(misread=0, right=nan, recent=(value,)), ""
        text = unit_ratio(value, seen.right, 3.0 * tolerance) or "still far from what it was"
        return seen._replace(misread=seen.misread + 1), f"wrong unit: {text}"
    if len(seen.recent) < _LEAST:
        return seen, ""
    last = seen.recent[-1]
    if value <= 0.0 or last <= 0.0 or abs(log(value / last)) < _FAR_OFF:
        return seen, ""
    right = median(seen.recent) if expected is None else expected[0]
    text = unit_ratio(value, right, tolerance)
    if not text:
        return seen, ""
    return seen._replace(misread=1, right=right), f"wrong unit: {text}"


def _twin(
    seen: SignalMemory,
    value: float,
    check: SignalCheckConfig,
    config: MeasurementConfig,
    expected: tuple[float, float] | None,
) -> tuple[SignalMemory, Finding | None]:
    """Innovation against the twin: far off in a row, or too large on the average."""
    if expected is None or not expected[1] > 0.0:
        return seen._replace(far=0), None
    surprise = (value - expected[0]) / expected[1]
    size = min(abs(surprise), config.twin_far)
    square = seen.square + (size * size - seen.square) / config.twin_window  # (G1)
    limit = config.twin_far if seen.far < config.twin_readings else 0.5 * config.twin_far
    far = min(seen.far + 1, config.twin_readings) if abs(surprise) >= limit else 0
    seen = seen._replace(square=square, far=far)
    if check.twin and far >= config.twin_readings:  # (G2)
        text = f"{surprise:+.1f} standard deviations from the twin"
        return seen, Finding(Defect.TWIN, text, 0.0)
    if square > config.twin_mean_square:
        text = f"mean square of the surprises {square:.1f}"
        return seen, Finding(Defect.BIAS, text, 1.0)
    return seen, None
