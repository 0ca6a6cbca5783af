"""Progress of the demo: a live table on a terminal, a line now and then without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tools.demo.operator import SHOWN
from tools.demo.status import Phase, Status
from tools.shown_time import clock

__all__ = ["show_progress"]

_LIVE_S = 0.25
_LINE_S = 10.0
_NOTES = 8
_HEADINGS = {
    "potency": "potency (NIR)",
    "tablet_weight": "weight (lab)",
    "tensile_strength": "strength (lab)",
    "throughput": "throughput",
    "main_force": "main force",
    "level": "chute",
}
_SHORT = {
    "potency": "NIR",
    "tablet_weight": "weight",
    "tensile_strength": "strength",
    "throughput": "rate",
    "main_force": "force",
    "level": "chute",
}
# Columns that a terminal must have for what is shown last.
_LEAST = {"main_force": 84, "level": 92}
_LEAST_FOR_BAR, _BAR = 112, 16
_DIGITS = {"tensile_strength": 2, "main_force": 2, "level": 0}


@asynccontextmanager
async def show_progress(
    console: Console, statuses: Sequence[Status], *, headless: bool
) -> AsyncIterator[None]:
    """Show ``statuses`` while the body runs."""
    work = _lines(console, statuses) if headless else _live(console, statuses)
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _live(console: Console, statuses: Sequence[Status]) -> None:
    width = console.width
    with Live(_screen(statuses, width), console=console, refresh_per_second=4) as live:
        try:
            while True:
                await asyncio.sleep(_LIVE_S)
                live.update(_screen(statuses, width))
        finally:
            live.update(_screen(statuses, width))


def _screen(statuses: Sequence[Status], width: int) -> Group:
    """One row per run; what does not fit into ``width`` columns is left out."""
    shown = [name for name in SHOWN if width >= _LEAST.get(name, 0)]
    with_bar = width >= _LEAST_FOR_BAR
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("run")
    table.add_column("plant\ntime", justify="right")
    if with_bar:
        table.add_column("", width=_BAR)
    table.add_column("speed", justify="right")
    table.add_column("mode", min_width=len("CLOSED_LOOP"))
    for name in shown:
        table.add_column(f"{_SHORT[name]}\n{SHOWN[name]}", justify="right")
    for s in statuses:
        bar = [ProgressBar(total=s.total, completed=s.second, width=_BAR)] if with_bar else []
        cells = [_cell(s.values.get(name), _DIGITS.get(name, 1)) for name in shown]
        speed = f"{s.factor:.0f}×" if s.factor else ""
        table.add_row(s.controller, clock(s.second), *bar, speed, _mode(s), *cells)
    notes = [note for s in statuses for note in s.notes]
    return Group(table, Text("\n".join(sorted(notes)[-_NOTES:]), style="dim"))


def _mode(s: Status) -> Text:
    if s.phase is Phase.RUNNING:
        return Text(s.mode, style="bold red" if s.mode == "SHED" else "")
    calm = s.phase in (Phase.WAITING, Phase.STARTING, Phase.FINISHED)
    return Text(s.phase.value, style="dim" if calm else "bold red")


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


async def _lines(console: Console, statuses: Sequence[Status]) -> None:
    told = dict.fromkeys(range(len(statuses)), 0)

    def tell_notes() -> None:
        for i, s in enumerate(statuses):
            for note in s.notes[told[i] :]:
                console.print(note, markup=False, soft_wrap=True)
            told[i] = len(s.notes)

    waited = 0.0
    try:
        while True:
            await asyncio.sleep(1.0)
            waited += 1.0
            tell_notes()
            if waited >= _LINE_S:
                waited = 0.0
                for s in statuses:
                    if s.phase not in (Phase.WAITING, Phase.FINISHED, Phase.FAILED):
                        console.print(_line(s), markup=False, soft_wrap=True)
    finally:
        tell_notes()


def _line(s: Status) -> str:
    known = [
        f"{_HEADINGS[name]} {value:.{_DIGITS.get(name, 1)}f} {unit}"
        for name, unit in SHOWN.items()
        if (value := s.values.get(name)) is not None
    ]
    doing = s.mode if s.phase is Phase.RUNNING else s.phase.value
    return (
        f"{clock(s.second)} of {clock(s.total)} {s.controller:<4} {s.factor:4.0f}× {doing:<12} "
        + ", ".join(known)
    )
