"""A recording through the control cycle in this process.

The same plant behind the same cycle function as over OPC UA, without the link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleSetup, initial_state
from controller.records.state_file import save_state
from hil.recorded import RecordedPlant
from plant_models.line import ResolvedLine
from plant_models.recording import Recording
from tools.recordings.thoughts import Thoughts

__all__ = ["Tick", "only_batches", "play_in_process"]

Tick = Callable[[int], None]

_TICK_ROWS = 50


def only_batches(recording: Recording, batches: Sequence[str]) -> Recording:
    """The rows of some batches, in their order."""
    keep = np.isin(np.asarray(recording.batch), list(batches))
    return replace(
        recording,
        time=recording.time[keep],
        batch=tuple(np.asarray(recording.batch)[keep].tolist()),
        channels={name: series[keep] for name, series in recording.channels.items()},
    )


def play_in_process(
    recording: Recording,
    line: ResolvedLine,
    setup: CycleSetup,
    *,
    save_before: int,
    state_file: Path,
    tick: Tick,
) -> Thoughts:
    """Play all rows, a fresh controller in MONITORING watching.

    Parameters
    ----------
    recording
        What is played.
    line
        The line that it is shown as.
    setup
        The controller.
    save_before
        Row before which the controller's memory is saved, in ``state_file``.
    tick
        Told the rows played, now and then.
    """
    steps = np.arange(1.0, setup.config.press.forecast.steps + 1.0)
    thoughts = Thoughts.empty(recording.time, setup.config.period_s * steps)
    plant = RecordedPlant(line, recording)
    state, period = initial_state(setup, epoch=1), setup.config.period_s
    for row in range(recording.size):
        if row == save_before:
            save_state(state_file, state, setup)
        plant.advance(period)
        output = run_cycle(CycleInputs(snapshot=plant.snapshot()), state, setup, _no_clock)
        state = output.state
        thoughts.take(row, output.record)
        if row % _TICK_ROWS == 0:
            tick(row)
    tick(recording.size)
    return thoughts


def _no_clock() -> float:
    """Cycles here are not timed."""
    return 0.0
