"""Whether a recording's columns can be what the mapping says: numbers, units, copies, dead sensors.

Each check takes the draft of a recording, marks as missing what cannot be believed and says so.
A channel that is needed and cannot be believed as a whole ends in a `RecordingError`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from plant_models.recording import CHANNELS
from plant_models.signal_checks import beyond
from tools.recordings.draft import Draft
from tools.recordings.findings import Finding
from tools.recordings.frame import Frame
from tools.recordings.mapping import REQUIRED, Tooling, factor_of, units_of
from tools.recordings.text_table import Table

__all__ = ["check_values", "draft_of"]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Channel -> what its numbers can be on any press, SI; forces and fill are limited by the tooling.
_POSSIBLE: dict[str, tuple[float, float]] = {
    "tablet_rate": (0.0, 1.5e6 / 3600.0),
    "paddle_speed": (0.0, 300.0 / 60.0),
    "main_force": (-500.0, 1e5),
    "fill_depth": (0.0, 25e-3),
    "force_rsd": (0.0, 10.0),
    "pre_force": (-500.0, 1e5),
    "made": (0.0, 1e9),
    "rejected": (0.0, 1e9),
    "thickness": (0.0, 15e-3),
    "pre_thickness": (0.0, 25e-3),
    "stiffness": (-math.inf, math.inf),
    "ejection_force": (-100.0, 2e4),
}
_COPY_SHARE = 0.99
_LEVELS = 5
_WRONG_SHARE = 0.5


def draft_of(frame: Frame, table: Table, tooling: Tooling) -> Draft:
    """Channels in SI of the columns that exist, with what could not be read in them."""
    mapped = frame.mapping.channels.mapped()
    draft = Draft(
        frame=frame,
        tooling=tooling,
        channels={},
        columns={name: c.column for name, c in mapped.items()},
        units={name: c.unit for name, c in mapped.items()},
    )
    nowhere = np.zeros(frame.size, dtype=bool)
    for name, entry in mapped.items():
        if entry.column not in frame.numbers:
            draft.say(
                nowhere,
                "missing",
                name,
                "warning",
                f"there is no column {entry.column!r}",
                "channel left out",
            )
            continue
        raw = frame.numbers[entry.column]
        draft.channels[name] = raw * factor_of(name, entry.unit)
        _refused(draft, name, table)
        if name in draft.channels and np.isnan(raw).all():
            draft.drop(name, "missing", "the column holds no number", "a recorded column", ~nowhere)
    return draft


def _refused(draft: Draft, name: str, table: Table) -> None:
    refused = table.refused.get(draft.columns[name])
    if refused is None:
        return
    frame = draft.frame
    text = f"{refused.count} cells are no numbers, first {refused.example!r}"
    share = refused.count / max(table.rows, 1)
    if share > frame.mapping.checks.unreadable_share and refused.count > 3:
        comma = "," in refused.example and frame.mapping.decimal == "."
        right = "`decimal: ','` in a mapping" if comma else "numbers, or nothing where none is"
        draft.drop(
            name,
            "unreadable",
            f"{text} (line {refused.first})",
            right,
            np.ones(frame.size, dtype=bool),
        )
        return
    draft.findings.append(
        Finding(
            kind="unreadable",
            channel=name,
            rows=refused.count,
            share=share,
            first_row=refused.first,
            last_row=refused.last,
            severity="warning",
            text=text,
            action="taken as missing",
        )
    )


def check_values(draft: Draft) -> None:
    """Run the checks of this module, in their order."""
    _ranges(draft)
    _copies(draft)
    _never_moves(draft)
    _rate_against_counter(draft)
    _fill_below_band(draft)


def _limits(draft: Draft, name: str) -> tuple[float, float]:
    lo, hi = _POSSIBLE[name]
    if name in {"main_force", "pre_force"} and draft.tooling.known:
        area = math.pi / 4.0 * draft.tooling.diameter**2
        hi = min(hi, draft.frame.mapping.checks.pressure_max_mpa * 1e6 * area)
    return lo, hi


def _ranges(draft: Draft) -> None:
    for name in list(draft.channels):
        values = draft.channels[name]
        lo, hi = _limits(draft, name)
        wrong = beyond(values, lo, hi)
        if not wrong.any():
            continue
        example = draft.shown(name, float(values[wrong][0]))
        span = f"{draft.shown(name, lo)} to {draft.shown(name, hi)}"
        there = ~np.isnan(values) & (values != 0.0)
        if wrong.sum() > _WRONG_SHARE * there.sum():
            fits = _other_units(draft, name, lo, hi)
            draft.drop(
                name,
                "mislabelled",
                f"the numbers, such as {example}, cannot be in {draft.units[name]!r}: possible "
                f"are {span}",
                f"`unit: {fits[0]!r}` in a mapping, if that is what they are"
                if fits
                else "the column that was meant, with its unit, in a mapping",
                wrong,
            )
            continue
        draft.say(
            wrong,
            "impossible",
            name,
            "error",
            f"outside {span}, first {example}",
            "taken as missing",
        )
        draft.blank(name, wrong)


def _other_units(draft: Draft, name: str, lo: float, hi: float) -> list[str]:
    raw = draft.channels[name] / factor_of(name, draft.units[name])
    raw = raw[np.isfinite(raw) & (raw != 0.0)]
    if not raw.size:
        return []
    middle = float(np.median(raw))
    return [unit for unit, factor in units_of(name).items() if lo < middle * factor < hi]


def _copies(draft: Draft) -> None:
    """Two columns with the same numbers are one column twice: one of the names is wrong."""
    numbers = draft.frame.numbers
    names = [n for n in draft.channels if np.unique(numbers[draft.columns[n]]).size >= _LEVELS]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if first not in draft.channels or second not in draft.channels:
                continue
            a, b = numbers[draft.columns[first]], numbers[draft.columns[second]]
            both = ~np.isnan(a) & ~np.isnan(b)
            same = both & (a == b)
            if not both.any() or same.sum() < _COPY_SHARE * both.sum():
                continue
            text = (
                f"the column {draft.columns[second]!r} is a copy of {draft.columns[first]!r}, "
                f"not {CHANNELS[second].text}"
            )
            if first in REQUIRED and second in REQUIRED:
                draft.drop(second, "mislabelled", text, "both columns as recorded", same)
            elif first in REQUIRED:
                draft.drop(second, "mislabelled", text, "", same)
            else:
                for name in (first, second):
                    draft.drop(name, "mislabelled", text + " (or the other way)", "", same)


def _never_moves(draft: Draft) -> None:
    for name in list(draft.channels):
        values = draft.channels[name]
        there = ~np.isnan(values)
        if (values[there] == 0.0).all():
            draft.drop(
                name,
                "zero",
                "every number is zero: not recorded, or a dead sensor",
                "a column with the numbers of a press at work",
                there,
            )
    pre = draft.channels.get("pre_force")
    if pre is None:
        return
    running = draft.running & ~np.isnan(pre)
    main = draft.channels["main_force"][running]
    if running.any() and np.nanmedian(pre[running]) <= 0.01 * np.nanmedian(main):
        draft.say(
            running,
            "dead",
            "pre_force",
            "warning",
            f"about {draft.shown('pre_force', float(np.nanmedian(pre[running])))} while the press "
            "runs: no pre-compression, or a dead sensor",
            "kept",
        )


def _rate_against_counter(draft: Draft) -> None:
    """Tablets counted beside tablets per hour: the two units must agree."""
    made, rate = draft.channels.get("made"), draft.channels["tablet_rate"]
    if made is None:
        return
    step = np.r_[0.0, np.diff(made)]
    due = np.nan_to_num(rate) * draft.frame.mapping.period_s
    counts = draft.frame.joined & (step >= 0.0) & (due > 0.0)
    if counts.sum() < 60:
        return
    counted, expected = float(step[counts].sum()), float(due[counts].sum())
    ratio = counted / expected
    if 0.2 <= ratio <= 2.0:
        return
    draft.drop(
        "made",
        "mislabelled",
        f"the counter grew by {ratio:.3g} times what {draft.columns['tablet_rate']!r} says was "
        "made: one of the two units is wrong",
        "",
        counts,
    )


def _fill_below_band(draft: Draft) -> None:
    """Powder is pressed thinner, never thicker: the band is below the fill depth."""
    fill, band = draft.channels["fill_depth"], draft.channels["thickness"]
    running = draft.running
    wrong = running & (fill <= band)
    if not wrong.any():
        return
    text = "the fill depth is not above the thickness that it is pressed to"
    if wrong.sum() > _WRONG_SHARE * running.sum():
        draft.drop(
            "fill_depth", "mislabelled", text, "fill depth and band, each with its unit", wrong
        )
    draft.say(wrong, "impossible", "fill_depth", "error", text, "both taken as missing")
    draft.blank("fill_depth", wrong)
    draft.blank("thickness", wrong)
