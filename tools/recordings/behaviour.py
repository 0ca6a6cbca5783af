"""How a recorded press behaves: counters and readings that stand still, stops, held values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from plant_models.signal_checks import frozen, repeats
from tools.recordings.draft import Draft
from tools.recordings.findings import RecordingError, duration_text
from tools.recordings.frame import Frame
from tools.recordings.mapping import factor_of

__all__ = ["check_behaviour"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# What the press measures tablet by tablet; when its link hangs they stand still together.
_PROCESS = (
    "main_force",
    "fill_depth",
    "force_rsd",
    "pre_force",
    "made",
    "rejected",
    "stiffness",
    "ejection_force",
)
_COUNTERS = ("made", "rejected")
_STUCK_COUNTS = 60.0
_COARSE = 0.7


def check_behaviour(draft: Draft) -> None:
    """Run the checks of this module, in their order."""
    _counters(draft)
    _frozen(draft)
    _facts(draft)


def _counters(draft: Draft) -> None:
    """Counters that run backwards, or stand still while tablets are made."""
    frame = draft.frame
    for name in _COUNTERS:
        if name not in draft.channels:
            continue
        back = frame.joined & np.r_[False, np.diff(draft.channels[name]) < 0.0]
        if back.any():
            draft.say(
                back,
                "impossible",
                name,
                "warning",
                "the counter runs backwards within a batch",
                "kept; it was set back, or the batch changed there",
            )
    if "made" not in draft.channels:
        return
    made = draft.channels["made"]
    quantum = factor_of("made", draft.units["made"])
    same_batch = np.r_[False, frame.batch[1:] == frame.batch[:-1]]
    due = np.nan_to_num(draft.channels["tablet_rate"]) * frame.mapping.period_s
    started = np.r_[True, (made[1:] != made[:-1]) | ~same_batch[1:]]
    run = np.cumsum(started) - 1
    expected = np.bincount(run, due)[run]
    stuck = ~np.isnan(made) & (expected > _STUCK_COUNTS * quantum) & draft.running
    if stuck.any():
        draft.say(
            stuck,
            "frozen",
            "made",
            "error",
            f"the counter stands at up to {draft.shown('made', float(made[stuck].max()))} while "
            "tablets are made",
            "taken as missing there",
        )
        draft.blank("made", stuck)


def _frozen(draft: Draft) -> None:
    """Readings that stand still for longer than chance and their resolution explain."""
    frame, checks = draft.frame, draft.frame.mapping.checks
    names = [n for n in _PROCESS if n in draft.channels]
    if len(names) > 2:
        table = np.column_stack([draft.channels[n] for n in names])
        still = _still(draft, table, checks.frozen_rows_s)
        if still.any():
            draft.say(
                still,
                "frozen",
                "",
                "error",
                f"{', '.join(names)} stand still together while the press runs, for "
                f"{duration_text(_longest(still, frame))} at most: the recorder hung",
                "these taken as missing there",
            )
            for name in names:
                draft.blank(name, still)
    still = _still(draft, draft.channels["main_force"], checks.frozen_force_s)
    if still.any():
        draft.say(
            still,
            "frozen",
            "main_force",
            "error",
            "the force does not change at all while the press runs, for "
            f"{duration_text(_longest(still, frame))} at most",
            "taken as missing there",
        )
        draft.blank("main_force", still)


def _still(draft: Draft, values: Array, seconds: float) -> BoolArray:
    """Running rows of a run that lasts ``seconds`` and that chance makes in one file of 1000.

    Chance: independent rows that repeat as often as in the usual hour. What repeats mostly is too
    coarse to tell, and is not marked.
    """
    frame, running = draft.frame, draft.running
    again = frozen(values, 2, frame.joined)[running].astype(float)
    hours = np.array_split(again, max(again.size // 360, 1))
    usual = float(np.median([hour.mean() for hour in hours if hour.size] or [0.0]))
    if usual > _COARSE:
        return np.zeros(frame.size, dtype=bool)
    rows = max(again.size, 1) * max(1.0 - usual, 0.1)
    by_chance = 1.0 + math.log(1e-3 / rows) / math.log(usual) if usual > 0.0 else 2.0
    limit = math.ceil(max(seconds / frame.mapping.period_s, by_chance))
    return np.asarray(frozen(values, limit, frame.joined, running) & running)


def _longest(rows: BoolArray, frame: Frame) -> float:
    """Length of the longest stretch of marked rows [s]."""
    return float(repeats(np.where(rows, 1.0, np.nan), frame.joined).max()) * frame.mapping.period_s


def _facts(draft: Draft) -> None:
    """What is no fault but should be known: missing numbers, stops, held values, resolution."""
    frame, running = draft.frame, draft.running
    nowhere = np.zeros(frame.size, dtype=bool)
    raw = draft.frame.numbers
    columns = np.column_stack([np.isnan(raw[draft.columns[name]]) for name in draft.channels])
    empty = np.asarray(columns.all(axis=1))
    if empty.any():
        draft.say(empty, "missing", "", "info", "rows without any number", "kept as missing")
    for name, missing in zip(draft.channels, columns.T & ~empty, strict=True):
        if missing.any():
            draft.say(missing, "missing", name, "info", "no number", "kept as missing")
    if not running.any():
        raise RecordingError(
            frame.file,
            "the press never runs in it",
            "a recording of a press that makes tablets",
            f"column {draft.columns['tablet_rate']!r}",
        )
    stands = ~running & ~np.isnan(draft.channels["tablet_rate"])
    stops = int((stands[1:] & running[:-1] & frame.joined[1:]).sum())
    if stands.any():
        draft.say(stands, "standing", "", "info", f"the press stands, {stops} stops", "kept")
    for name in ("main_force", "fill_depth", "force_rsd", "ejection_force"):
        if name not in draft.channels:
            continue
        values = draft.channels[name]
        held = stands & np.r_[False, values[1:] == values[:-1]] & (values != 0.0)
        if held.sum() > 0.5 * max(stands.sum(), 1):
            draft.say(
                held,
                "held",
                name,
                "info",
                "holds its last value while the press stands",
                "kept; not a reading",
            )
    for name in ("main_force", "fill_depth", "thickness"):
        step = _resolution(raw[draft.columns[name]][running])
        if step:
            unit = draft.units[name]
            draft.say(
                nowhere, "quantised", name, "info", f"steps of {step:g} {unit}".strip(), "kept"
            )


def _resolution(values: Array) -> float:
    """Step of a column's numbers, 0 if it has none that is coarse beside their spread."""
    levels = np.unique(values[np.isfinite(values)])
    if not 2 <= levels.size <= 2000:
        return 0.0
    step = float(np.round(np.diff(levels).min(), 9))
    whole = levels / step if step else levels
    return step if step and np.abs(whole - np.round(whole)).max() < 1e-3 else 0.0
