"""The demo on a recorded press, from end to end.

Read and checked; a press fitted to the first half of the batches; all rows of the others through
the control cycle in this process, forecasting; the last of them once more over OPC UA, where the
forecasts must be the same; score, result, report.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from asyncua import ua
from rich.console import Console

from controller.cycle_data import CycleSetup
from controller.records.historian import HistoryError
from plant_models.press_cell import Law
from plant_models.recording import Recording
from tools.commissioning.press_fit import fit_press
from tools.commissioning.press_result import PressFit
from tools.configuration import load_recording_mapping
from tools.demo.recorded_cycles import only_batches, play_in_process
from tools.demo.recorded_link import LinkOrder, LinkRun, thoughts_of
from tools.demo.recorded_monitor import Monitor, check_period, monitor_setup, write_monitor
from tools.demo.recorded_progress import rows_shown
from tools.demo.recorded_result import print_result, recorded_document, write_forecasts
from tools.people import PersonRefused
from tools.pki import ensure_pki, twinline_home
from tools.processes import private_home
from tools.recordings.all_opponents import Opponents, build_opponents
from tools.recordings.reader import LoadedRecording, read_recording
from tools.recordings.scoring import score_forecast
from tools.recordings.sensor_tuning import SensorTuning, tune_sensor
from tools.recordings.table import findings_table, summary_lines
from tools.recordings.thoughts import LinkComparison, Thoughts, compare
from tools.report.recorded import write_recorded_report
from tools.report.recorded_data import RecordedDemo
from tools.report.saved import REPORT, RESULT
from tools.rundir import RunDir
from tools.security import SecurityConfig, ensure_secrets

__all__ = ["PreparedRecording", "RecordedOrder", "prepare_recorded", "run_recorded", "tail_rows"]

_FAILURES = (RuntimeError, PersonRefused, HistoryError, OSError, ua.UaError)
_STATE = "before_the_link.state"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOrder:
    """What to play: file, mapping, law of compaction, minutes over the link, where to."""

    file: Path
    mapping: Path | None
    law: Law
    minutes: float
    run: RunDir
    configs: Path
    headless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRecording:
    """A recording with the press fitted to it and the monitor that will watch the scored rows.

    ``scored`` are the rows of the scored batches, the last ``link_rows`` of which are played over
    the link.
    """

    order: RecordedOrder
    loaded: LoadedRecording
    scored: Recording
    link_rows: int
    link_note: str
    opponents: Opponents
    fit: PressFit
    tuning: SensorTuning
    monitor: Monitor
    setup: CycleSetup
    wall_s: dict[str, float] = field(default_factory=dict)


def prepare_recorded(order: RecordedOrder, console: Console) -> PreparedRecording:
    """Read, check and fit. Raises `ConfigError`, `RecordingError` or another ``ValueError``."""
    order.run.log_to("demo")
    watch = _Watch()
    mapping = None if order.mapping is None else load_recording_mapping(order.mapping)
    loaded = read_recording(order.file, mapping)
    recording = loaded.recording
    watch.lap("read")
    console.print(findings_table(loaded.findings))
    for line in summary_lines(loaded):
        console.print(line, markup=False)
    period = check_period(recording.period_s)
    fitted, scored_names = recording.split()
    if not fitted:
        raise ValueError(
            f"{order.file}: one batch, {recording.batches()[0]}: nothing would be left to score. "
            "Give at least two batches: the first half is fitted, the others are scored"
        )
    scored = only_batches(recording, scored_names)
    link_rows, note = tail_rows(recording, scored_names, order.minutes)
    opponents = build_opponents(recording, fitted)
    watch.lap("opponents")
    fit = fit_press(recording, fitted, loaded.tooling, order.law)
    at = fit.reference
    tuning = tune_sensor(
        recording,
        fitted,
        opponents.origins,
        fit.cell,
        (at.fill, at.band, at.rate),
        opponents.alpha,
    )
    watch.lap("fit")
    monitor = write_monitor(
        order.run.path / "config",
        order.configs,
        what=recording.name,
        period_s=period,
        cell=fit.cell,
        tuning=tuning,
        weighted_mean=opponents.alpha,
    )
    console.print(
        f"fitted on batches {', '.join(fitted)}: {fit.steps.size} moves free of the loop, "
        f"scored on {', '.join(scored_names)}",
        markup=False,
    )
    return PreparedRecording(
        order=order,
        loaded=loaded,
        scored=scored,
        link_rows=link_rows,
        link_note=note,
        opponents=opponents,
        fit=fit,
        tuning=tuning,
        monitor=monitor,
        setup=monitor_setup(monitor),
        wall_s=watch.laps,
    )


def tail_rows(recording: Recording, scored: tuple[str, ...], minutes: float) -> tuple[int, str]:
    """Rows at the end of the file, all of scored batches, that ``minutes`` hold; a note if fewer.

    Raises ``ValueError`` where the file ends with a fitted batch.
    """
    wanted = round(60.0 * minutes / recording.period_s)
    earlier = np.flatnonzero(~np.isin(np.asarray(recording.batch), scored))
    tail = recording.size - 1 - int(earlier[-1]) if earlier.size else recording.size
    if not tail:
        raise ValueError(
            f"{recording.name}: batch {recording.batch[-1]} belongs to the first half of the "
            "batches, which are fitted, and goes on after all others: give batches that follow "
            "each other"
        )
    if tail >= wanted:
        return wanted, ""
    return tail, f"{wanted} rows were asked for, the scored batches end with {tail}"


def run_recorded(prepared: PreparedRecording, console: Console) -> bool:
    """Play, compare, score, report; whether all of it ran and the link thought the same."""
    order, scored, watch = prepared.order, prepared.scored, _Watch()
    state_file = order.run.path / _STATE
    with rows_shown(console, "in process", scored.size, headless=order.headless) as tick:
        thoughts = play_in_process(
            scored,
            prepared.monitor.line,
            prepared.setup,
            save_before=scored.size - prepared.link_rows,
            state_file=state_file,
            tick=tick,
        )
    watch.lap("in_process")
    comparison, note = _over_the_link(prepared, thoughts, state_file, console)
    watch.lap("over_link")
    demo = _scored(prepared, thoughts, comparison, note, prepared.wall_s | watch.laps)
    print_result(console, demo)
    document = recorded_document(demo)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    (order.run.path / RESULT).write_text(text + "\n", "utf-8")
    write_forecasts(order.run.path / "forecasts.csv.gz", demo)
    report = order.run.path / REPORT
    write_recorded_report(report, demo)
    console.print(f"report: {report}", soft_wrap=True)
    return comparison is not None and comparison.agrees


def _scored(
    prepared: PreparedRecording,
    thoughts: Thoughts,
    comparison: LinkComparison | None,
    note: str,
    wall_s: dict[str, float],
) -> RecordedDemo:
    """Score the forecasts 60 s ahead on the rows of the whole recording."""
    loaded, fit = prepared.loaded, prepared.fit
    recording = loaded.recording
    later = np.isin(np.asarray(recording.batch), prepared.scored.batches())
    ahead, half = np.full((2, recording.size), np.nan)
    ahead[later], half[later] = thoughts.mean[:, -1] * 1e-3, thoughts.half[:, -1] * 1e-3
    return RecordedDemo(
        loaded=loaded,
        scored=prepared.scored,
        fit=fit,
        tuning=prepared.tuning,
        config=prepared.monitor.config,
        thoughts=thoughts,
        score=score_forecast(recording, ahead, half, fit.batches, prepared.opponents),
        comparison=comparison,
        link_note=note,
        minutes=prepared.order.minutes,
        wall_s=wall_s,
        hashes=prepared.setup.hashes,
    )


def _over_the_link(
    prepared: PreparedRecording, thoughts: Thoughts, state_file: Path, console: Console
) -> tuple[LinkComparison | None, str]:
    """Play the last rows with two processes and compare; what went wrong instead."""
    order, rows = prepared.order, prepared.link_rows
    folder = RunDir(order.run.path / "link")
    folder.path.mkdir()
    in_process = thoughts.last(rows)
    with private_home(order.run.path):
        ensure_secrets(folder.secrets, SecurityConfig())
        link = LinkOrder(
            recording=order.file,
            mapping=order.mapping,
            line_file=prepared.monitor.line_file,
            controller_file=prepared.monitor.file,
            state_file=state_file,
            first_row=prepared.loaded.recording.size - rows,
            time=in_process.time,
            run=folder,
            party=ensure_pki(twinline_home())["operator"],
        )
        try:
            with rows_shown(console, "over OPC UA", rows, headless=order.headless) as tick:
                asyncio.run(_until_ended(LinkRun(link, tick)))
        except _FAILURES as error:
            return None, f"the link failed: {error}"
        finally:
            shutil.rmtree(folder.secrets, ignore_errors=True)
    try:
        online = thoughts_of(folder, in_process.time, in_process.times)
    except (HistoryError, OSError) as error:
        return None, f"the historian cannot be read: {error}"
    return compare(in_process, online), prepared.link_note


async def _until_ended(run: LinkRun) -> None:
    """Run; SIGINT and SIGTERM end it in order."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    if me is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, me.cancel)
    await run.run()


class _Watch:
    """Wall time by part [s]."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self._last
        self._last = now
