"""The speed benchmarks as tables: times per step, and goals with what was reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.benchmarks.control_table import Goal

__all__ = ["Goal", "goal", "print_contestants", "print_goals", "print_settings"]

_WORDS = {True: "[green]reached[/]", False: "[red]missed[/]", None: "[yellow]open[/]"}


def goal(
    flat: Mapping[str, Any],
    key: str,
    name: str,
    *,
    lo: float | None = None,
    hi: float | None = None,
    note: str = "",
) -> Goal:
    """A goal for the figure ``key``, with its range over the runs where there is one."""
    value, ends = flat.get(key), flat.get("range", {}).get(key)
    if ends is not None:
        note = f"[{ends[0]:.3g}, {ends[1]:.3g}] {note}".strip()
    return Goal(name=name, value=value, lo=lo, hi=hi, note=note)


def print_contestants(
    console: Console, title: str, rows: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Name, times per step and the rest of every contestant; ``extra`` entries become columns."""
    extras = list(dict.fromkeys(k for *_, more in rows for k in more.get("extra", {})))
    table = Table(title=title)
    table.add_column("solver")
    headings = ("median ms", "p95", "max", "median CPU ms", "steps", "start s", "peak MB")
    for heading in (*headings, *extras):
        table.add_column(heading, justify="right")
    for name, ms, more in rows:
        cells = [f"{ms[k]:.3g}" for k in ("median", "p95", "max")]
        cells += [f"{more['cpu_ms']['median']:.3g}", str(more["steps"])]
        cells += [f"{more['start_s']:.1f}", f"{more['peak_mb']:.0f}"]
        cells += [more.get("extra", {}).get(k, "") for k in extras]
        table.add_row(name, *cells)
    console.print(table)


def print_settings(console: Console, contestants: Mapping[str, Mapping[str, Any]]) -> None:
    """Settings of every contestant, and what their solvers said."""
    for name, more in contestants.items():
        settings = ", ".join(f"{k}={v}" for k, v in more["settings"].items())
        said = ", ".join(f"{k} {v}x" for k, v in more["verdicts"].items())
        console.print(f"[dim]{name}: {escape(settings)}; it said: {escape(said)}[/]")


def print_goals(console: Console, title: str, goals: Sequence[Goal]) -> None:
    """Every goal with its figure and whether it is reached."""
    table = Table(title=title)
    for heading in ("goal", "reached", "wanted", ""):
        table.add_column(heading)
    for g in goals:
        wanted = f">= {g.lo:g}" if g.lo is not None else f"<= {g.hi:g}"
        figure = g.note if g.value is None else f"{g.value:.3g} {g.note}".strip()
        table.add_row(g.name, escape(figure), wanted, _WORDS[g.met])
    console.print(table)
