"""How far the playing of a recording is: a bar on a terminal, a line now and then without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["rows_shown"]

_LINE_S = 10.0


@contextmanager
def rows_shown(
    console: Console, what: str, total: int, *, headless: bool
) -> Iterator[Callable[[int], None]]:
    """Show the rows played while the body runs; it gets a function to tell their number."""
    pace, told = _Pace(), time.monotonic()
    if headless:

        def tell(rows: int) -> None:
            nonlocal told
            now, shown = time.monotonic(), pace.at(rows)
            if now - told >= _LINE_S or rows == total:
                told = now
                console.print(f"{what}: {rows:,} of {total:,} rows{shown}")

        yield tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, pace="")

        yield lambda rows: progress.update(task, completed=rows, pace=pace.at(rows))


class _Pace:
    """Rows per second since the first that was told: what starts before is none of its business."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def at(self, rows: int) -> str:
        """For showing, once there is something to show."""
        now = time.monotonic()
        if self._first is None:
            self._first = rows, now
        row, began = self._first
        return f", {(rows - row) / (now - began):.0f}/s" if rows > row and now > began else ""
