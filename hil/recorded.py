"""A recorded press behind the plant's signal list: what was recorded, as it was, nothing else.

One row of the recording is shown for each of its periods, under the time at which it was taken;
what no row holds has a Bad status and no value. Nobody can move what has happened: calls and
command frames are refused, a controller may show its heartbeat and its state only. After the last
row its time stays, the heartbeat goes on and nothing recorded is readable any more.

With a run directory the place in the recording is saved every period; `RecordedPlant.resume` goes
on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from hil.plant import (
    BAD_NODE_ID_UNKNOWN,
    BAD_NOT_WRITABLE,
    BAD_TYPE_MISMATCH,
    BAD_USER_ACCESS_DENIED,
    STATE_FILE,
    Event,
)
from hil.process_image import INITIAL_VALUE, WAITING
from plant_models.line import ResolvedLine
from plant_models.recording import CHANNELS, Recording
from plant_models.signal_list import signal_table
from plant_models.signals import (
    APC,
    GOOD,
    PLC,
    DataType,
    Payload,
    PlcMode,
    SignalTable,
    Snapshot,
    Value,
)
from plant_models.units import UNITS

__all__ = ["ENDED", "NOT_RECORDED", "NO_DATA", "REFUSAL", "RecordedPlant", "fingerprint"]

NOT_RECORDED = 0x803D0000  # Bad_NotSupported: no row holds it
NO_DATA = 0x809B0000  # Bad_NoData: this row holds no usable number
ENDED = 0x808D0000  # Bad_OutOfService: the last row is over
REFUSAL = "this is a recording: nothing in it can be moved"

_STATE_SCHEMA = 1
_SAVED_BY = "a recording"  # in the place of the digest of a simulated line
_FRAME = frozenset({APC.SEQ_HEAD, APC.SEQ_TAIL, APC.ECHO, APC.EPOCH, APC.DIVERT_REQ})


def fingerprint(recording: Recording) -> str:
    """Short hash of the rows of a recording; its name does not count."""
    digest = hashlib.sha256(f"{recording.code}\n{recording.period_s!r}\n".encode())
    digest.update(np.ascontiguousarray(recording.time, dtype="<f8").tobytes())
    digest.update("\n".join(recording.batch).encode())
    for name in sorted(recording.channels):
        series = np.ascontiguousarray(recording.channels[name], dtype="<f8")
        digest.update(f"\n{name}\n".encode())
        digest.update(np.where(np.isnan(series), np.nan, series).tobytes())
    return digest.hexdigest()[:16]


class RecordedPlant:
    """Plays a recording; a `hil.server.PlantPort`.

    Parameters
    ----------
    resolved
        The line whose signals the recording is shown as.
    recording
        What was recorded.
    first_row
        Row that is shown first, one period after the beginning; until then the time is that of the
        row before it.
    run_dir
        Where the place in the recording is saved; ``None`` saves nothing.

    Attributes
    ----------
    table : SignalTable
    events : list of Event
        Calls, all of them refused.
    refused : int
        Command frames refused.
    second : int
        Plant seconds played.
    speed : float
        What ``PLC/SPEED`` shows; whoever drives the clock sets it. 0 is lock-step.
    """

    def __init__(
        self,
        resolved: ResolvedLine,
        recording: Recording,
        *,
        first_row: int = 0,
        run_dir: Path | None = None,
    ) -> None:
        self.table: SignalTable = signal_table(resolved.line)
        self._period = _whole_period(resolved, recording)
        if not 0 <= first_row < recording.size:
            raise ValueError(
                f"{recording.name}: there is no row {first_row}; its {recording.size} rows are "
                f"numbered from 0"
            )
        self._first_row, self._size = first_row, recording.size
        self._print, self._name = fingerprint(recording), recording.name
        self._times: list[float] = np.round(recording.time, 6).tolist()
        self._series = _plant_series(recording, self.table)
        self._run_dir = run_dir
        if run_dir is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
        self._first_session = ""
        self.events: list[Event] = []
        self.refused = 0
        self.second = 0
        self.speed = 0.0
        before = self._times[first_row - 1] if first_row else self._times[0] - self._period
        self._before = before
        self._registers = {
            APC.HB: Value(0, INITIAL_VALUE, before),
            APC.STATE: Value("OFF", INITIAL_VALUE, before),
        }
        self._constant = self._unmoving(recording.code, before)
        self._waiting = dict.fromkeys(self._series, Value(None, WAITING, before))
        self._ended = dict.fromkeys(self._series, Value(None, ENDED, self._times[-1]))
        self._shown_row, self._shown = first_row - 1, self._waiting

    def _unmoving(self, code: str, since: float) -> dict[str, Value]:
        """All tags, with what is the same in every row."""
        missing = Value(None, NOT_RECORDED, since)
        image = {signal.tag: missing for signal in self.table}
        known: dict[str, Payload] = {
            PLC.MODE_ACT: PlcMode.LOCAL.value,
            PLC.PERMIT: False,
            PLC.SHED_CAUSE: "",
            PLC.SHED_COUNT: 0,
            PLC.MODEL_VERSION: self.table.model_version(),
            APC.EPOCH: 0,
        }
        if code:
            known[PLC.RECIPE_ID] = code
        return image | {tag: Value(value, GOOD, since) for tag, value in known.items()}

    # -- time ------------------------------------------------------------------------------------

    @property
    def row(self) -> int | None:
        """Row that is shown; none before the first and after the last."""
        row = self._first_row + self.second // self._period - 1
        return row if self._first_row <= row < self._size else None

    @property
    def next_row(self) -> int:
        """Row that comes after the one shown; the number of rows when there is none."""
        return min(self._first_row + self.second // self._period, self._size)

    @property
    def ended(self) -> bool:
        """Whether the last row is over."""
        return self._first_row + self.second // self._period > self._size

    @property
    def time(self) -> float:
        """Time of the row that is shown [s, UTC]; beyond either end that of the last row passed."""
        if self.ended:
            return self._times[-1]
        row = self.row
        return self._before if row is None else self._times[row]

    def advance(self, seconds: int) -> None:
        """Let ``seconds`` of plant time pass."""
        before, self.second = self.second, self.second + seconds
        if self._run_dir is not None and before // self._period != self.second // self._period:
            self.save()

    # -- tags ------------------------------------------------------------------------------------

    def values(self) -> Mapping[str, Value]:
        """Every tag of the table, in its plant unit, with status and source time."""
        now, second = self.time, self.second
        image = self._constant | self._recorded() | self._registers
        image[PLC.HB] = image[PLC.SCAN_ID] = Value(second, GOOD, now)
        image[PLC.TIME] = Value(now, GOOD, now)
        image[PLC.SPEED] = Value(self.speed, GOOD, now)
        image[PLC.REJECTED_COUNT] = Value(self.refused, GOOD, now)
        return image

    def snapshot(self) -> Snapshot:
        """Every tag as one batched read over the link would return it."""
        return Snapshot(time=self.time, scan_id=self.second, values=self.values())

    def _recorded(self) -> dict[str, Value]:
        row = self.row
        if row is None:
            return self._ended if self.ended else self._waiting
        if row != self._shown_row:
            at = self._times[row]
            missing = Value(None, NO_DATA, at)
            self._shown = {
                tag: missing if series[row] is None else Value(series[row], GOOD, at)
                for tag, series in self._series.items()
            }
            self._shown_row = row
        return self._shown

    def write(self, session: str, writes: Mapping[str, Payload]) -> dict[str, int]:
        """One Write call of ``session``: status code per tag.

        Only the first controller session may write, and nothing but its heartbeat and its state;
        a call with any value of a command frame counts as one refused frame.
        """
        if not self._first_session:
            self._first_session = session
        self.refused += any(tag in _FRAME or tag.endswith("/REQ") for tag in writes)
        if session != self._first_session:
            return dict.fromkeys(writes, BAD_USER_ACCESS_DENIED)
        results = {tag: self._fits(tag, value) for tag, value in writes.items()}
        for tag, value in writes.items():
            if results[tag] == GOOD:
                self._registers[tag] = Value(value, GOOD, self.time)
        return results

    def _fits(self, tag: str, value: Payload) -> int:
        if tag not in self.table:
            return BAD_NODE_ID_UNKNOWN
        if tag not in self._registers:
            return BAD_NOT_WRITABLE
        right = isinstance(value, str) if tag == APC.STATE else type(value) is int
        return GOOD if right else BAD_TYPE_MISMATCH

    # -- methods ---------------------------------------------------------------------------------

    def request_control(self, session: str, user: str, mode: str, epoch: int, reason: str) -> str:
        """Refused."""
        return self._refuse(user, f"RequestControl {mode} epoch {epoch}", reason)

    def operator_set(self, user: str, mv: str, value: float, reason: str) -> str:
        """Refused."""
        return self._refuse(user, f"OperatorSet {mv} {value!r}", reason)

    def set_local(self, user: str, mv: str, local: bool, reason: str) -> str:
        """Refused."""
        return self._refuse(user, f"SetLocal {mv} {local}", reason)

    def line_command(self, user: str, command: str, reason: str) -> str:
        """Refused."""
        return self._refuse(user, f"LineCommand {command}", reason)

    def load_recipe(self, user: str, recipe: str, cleaning: str, reason: str) -> str:
        """Refused."""
        return self._refuse(user, f"LoadRecipe {recipe} after cleaning {cleaning!r}", reason)

    def release_session(self, session: str) -> None:
        """The connection of ``session`` is gone: another controller may show itself."""
        if self._first_session == session:
            self._first_session = ""

    def _refuse(self, user: str, what: str, reason: str) -> str:
        self.events.append(
            Event(second=self.second, user=user, what=what, reason=reason, answer=REFUSAL)
        )
        return REFUSAL

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the place in the recording atomically into the run directory."""
        if self._run_dir is None:
            raise ValueError("a recording played without a run directory cannot be saved")
        document = {
            "schema": _STATE_SCHEMA,
            "line": _SAVED_BY,
            "recording": self._print,
            "name": self._name,
            "first_row": self._first_row,
            "second": self.second,
            "refused": self.refused,
        }
        partial = self._run_dir / f"{STATE_FILE}.tmp"
        partial.write_text(json.dumps(document), encoding="utf-8")
        os.replace(partial, self._run_dir / STATE_FILE)

    @classmethod
    def resume(
        cls,
        resolved: ResolvedLine,
        recording: Recording,
        *,
        run_dir: Path,
        first_row: int | None = None,
    ) -> Self:
        """Go on where the playing saved in ``run_dir`` was.

        ``first_row``, if given, must be the one that it began with. Raises ``ValueError`` if
        something else was played there, ``FileNotFoundError`` if nothing was saved.
        """
        file = run_dir / STATE_FILE
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        remedy = "choose another run directory, or play there what was played before"
        if (saved.get("schema"), saved.get("line")) != (_STATE_SCHEMA, _SAVED_BY):
            raise ValueError(f"{file} was saved by a simulated plant or another version; {remedy}")
        if saved["recording"] != fingerprint(recording):
            raise ValueError(
                f"{file} belongs to another recording ({saved['name']}, {saved['recording']}) than "
                f"{recording.name} ({fingerprint(recording)}); {remedy}"
            )
        if first_row not in (None, saved["first_row"]):
            raise ValueError(
                f"{file} began with row {saved['first_row']}, not with {first_row}; {remedy}"
            )
        plant = cls(resolved, recording, first_row=saved["first_row"], run_dir=run_dir)
        plant.second, plant.refused = saved["second"], saved["refused"]
        return plant


def _whole_period(resolved: ResolvedLine, recording: Recording) -> int:
    """The recording's period [s], which must be the line's."""
    period = resolved.line.plc.control_period_s
    if recording.period_s != period:
        raise ValueError(
            f"{recording.name} has a row every {recording.period_s:g} s, but a control period of "
            f"{resolved.line.name!r} is {period} s: set plc.control_period_s of the line and "
            "period_s of the controller to the recording's spacing (whole seconds, at most 30)"
        )
    return period


def _plant_series(recording: Recording, table: SignalTable) -> dict[str, list[Payload]]:
    """Recorded numbers by tag in plant units, None where there is none; unrecorded tags left out.

    The ninth decimal is beyond every instrument: rounding there undoes the conversion to SI.
    """
    found: dict[str, list[Payload]] = {}
    for name, series in recording.channels.items():
        tag = CHANNELS[name].tag
        usable = np.isfinite(series)
        if tag is None or not usable.any():
            continue
        if tag not in table:
            raise ValueError(f"{recording.name}: the line has no signal {tag} for {name}")
        signal = table[tag]
        shown = np.round(np.where(usable, series, 0.0) / UNITS[signal.unit].factor, 9)
        whole = signal.data_type is not DataType.DOUBLE
        numbers: list[Any] = (np.rint(shown).astype(np.int64) if whole else shown).tolist()
        found[tag] = [v if ok else None for v, ok in zip(numbers, usable.tolist(), strict=True)]
    return found
