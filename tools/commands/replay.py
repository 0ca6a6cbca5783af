"""``twinline replay``: runs recorded cycles again and shows that they come out the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from controller.algorithms import make_brain
from controller.cycle_data import CycleSetup, make_setup
from controller.records.codec import CodecError
from controller.records.hashes import software_hash
from controller.records.historian import History, HistoryError, sqlite_url
from controller.records.replay import (
    ReplayReport,
    recorded_config,
    recorded_line,
    recorded_product,
    replay,
)
from plant_models.signal_list import signal_table
from tools.pki import twinline_home

__all__ = ["historian_file", "parse_cycles", "recorded_setup", "replay_run"]

BAD_INPUT = 2
_SHOWN = 20


def historian_file(run: Path) -> Path:
    """The database of a run: the folder's ``historian.sqlite``, or the file itself."""
    return run / "historian.sqlite" if run.is_dir() else run


def parse_cycles(text: str) -> tuple[int, int | None]:
    """``A:B``, ``A:`` or ``:B``, inclusive, as first and last cycle.

    Raises
    ------
    ValueError
        If ``text`` is nothing of the kind.
    """
    first, colon, last = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is no range of cycles; write A:B")
    low, high = int(first or 1), int(last) if last else None
    if low < 1 or (high is not None and high < low):
        raise ValueError(f"{text!r} is no range of cycles; the first is 1 and A must not exceed B")
    return low, high


def recorded_setup(history: History, start: int) -> CycleSetup:
    """The setup that a start of the controller ran with, made from its record."""
    facts = history.facts(start)
    config, line = recorded_config(facts), recorded_line(facts)
    table = signal_table(line.line)
    return make_setup(
        config,
        line,
        table,
        make_brain(config, line, table, twinline_home() / "cache"),
        history.state_at(start, history.begun_at(start)).targets,
        software_hash(),
        recorded_product(facts, line),
    )


def replay_run(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run, or its historian file.", show_default=False)
    ],
    cycles: Annotated[
        str, typer.Option("--cycles", metavar="A:B", help="Cycles to compare, inclusive.")
    ] = "1:",
    start: Annotated[
        int | None, typer.Option(help="Start of the controller; the newest by default.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the outcome to this file.")
    ] = None,
) -> None:
    """Run recorded cycles again: exit status 0 if every one comes out bit for bit, else 1."""
    console = Console(highlight=False)
    file = historian_file(run)
    try:
        first, last = parse_cycles(cycles)
        if not file.is_file():
            raise HistoryError(f"there is no historian at {file}")
        history = History(sqlite_url(file))
        number = history.starts()[-1] if start is None else start
        report = replay(
            history, recorded_setup(history, number), start=number, first=first, last=last
        )
    except (HistoryError, CodecError, ValidationError, ValueError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    if json_file is not None:
        outcome = {"exact": report.exact, "start": number, **asdict(report)}
        json_file.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    _show(console, report, number)
    if not report.exact:
        raise typer.Exit(1)


def _show(console: Console, report: ReplayReport, start: int) -> None:
    for note in report.notes:
        console.print(f"hash of {note}", style="yellow", markup=False)
    if report.compared == 0:
        console.print("no cycle was recorded in that range", style="bold red")
        return
    what = f"{report.compared} cycles ({report.first} to {report.last}) of start {start}"
    if report.exact:
        console.print(f"{what}: exact, {report.plans} plans among them", style="bold green")
        return
    for d in report.differences[:_SHOWN]:
        console.print(f"cycle {d.cycle}: {d.part} differs", style="red")
    console.print(f"{what}: {len(report.differences)} differences", style="bold red")
