"""At-line samples: recognised by number, placed at the time they were taken, in SI."""

from __future__ import annotations

import math

from controller.config import SourceClockConfig
from controller.data import LabSample
from controller.source_clock import LabClock, place_lab
from plant_models.signals import LAB, SignalTable, Snapshot, is_good

__all__ = ["new_sample"]


def new_sample(
    snapshot: Snapshot,
    last_id: int | None,
    table: SignalTable,
    config: SourceClockConfig,
    clock: LabClock,
) -> tuple[LabSample | None, int | None, LabClock]:
    """The sample in ``snapshot`` if it is new and usable.

    Parameters
    ----------
    snapshot
        Values as read; ``LAB.TAKEN`` is in seconds UTC by the tester's own clock.
    last_id
        Number of the last sample seen, used or not.
    table
        Units and ranges of the arrays.
    config
        Offset of the tester's clock, and the limits outside which a sample is dropped.
    clock
        What is known of that clock.

    Returns
    -------
    The sample or None, the number to remember, and what is known of the clock. A sample whose
    number is new but whose arrays are not readable yet is looked at again in the next cycle.
    """
    number = snapshot.number(LAB.ID)
    taken = snapshot.number(LAB.TAKEN)
    if number is None or taken is None or number <= 0 or not math.isfinite(taken):
        return None, last_id, clock
    sample_id = int(number)
    if sample_id == last_id:
        return None, last_id, clock
    seen, time = place_lab(clock, config, taken, snapshot.time)
    if time is None:
        return None, sample_id, seen
    arrays = [_array(snapshot, tag, table) for tag in (LAB.WEIGHT, LAB.THICKNESS, LAB.FORCE)]
    if any(a is None for a in arrays):
        return None, last_id, clock
    weights, thicknesses, forces = (a for a in arrays if a is not None)
    if not weights or len({len(weights), len(thicknesses), len(forces)}) != 1:
        return None, sample_id, seen
    kept = [row for row in zip(weights, thicknesses, forces, strict=True) if all(map(_finite, row))]
    if 2 * len(kept) < len(weights):
        return None, sample_id, seen
    columns = tuple(zip(*kept, strict=True))
    return (
        LabSample(
            number=sample_id,
            taken=time,
            weights=columns[0],
            thicknesses=columns[1],
            forces=columns[2],
        ),
        sample_id,
        seen,
    )


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _array(snapshot: Snapshot, tag: str, table: SignalTable) -> tuple[float, ...] | None:
    """Entries of an array in SI, NaN where one is outside its range; None if unreadable."""
    item = snapshot.values.get(tag)
    if item is None or not is_good(item.status) or not isinstance(item.value, tuple):
        return None
    signal = table[tag]
    lo = -math.inf if signal.lo is None else signal.lo
    hi = math.inf if signal.hi is None else signal.hi
    return tuple(signal.to_si(v) if lo < v <= hi else math.nan for v in item.value)
