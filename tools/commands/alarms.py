"""``twinline alarms``: the alarm list, the journal of a run, and how good its alarms were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from controller.alarms.entries import ENTRIES
from controller.alarms.export import event_rows, figure_rows, list_rows
from controller.records.codec import CodecError
from controller.records.historian import HistoryError
from tools.alarm_journal import Journal, read_journal
from tools.commands.alarm_desk import join
from tools.commands.replay import historian_file
from tools.shown_time import clock

__all__ = ["alarms"]

BAD_INPUT, MISSED = 2, 1

alarms = typer.Typer(
    name="alarms", help="Alarm list, journal and statistics.", no_args_is_help=True
)

join(alarms)

Run = Annotated[
    Path, typer.Argument(help="Folder of a run, or its historian.sqlite.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON on standard output.")]


def _read(console: Console, run: Path) -> Journal:
    try:
        return read_journal(historian_file(run))
    except (OSError, HistoryError, CodecError, KeyError, ValueError) as error:
        console.print(f"{run}: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from error


def _show(console: Console, headings: tuple[str, ...], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def _machine(rows: Any) -> None:
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))


@alarms.command("list")
def show_list(as_json: AsJson = False) -> None:
    """Show the rationalised alarm list: what each alarm means and what to do."""
    if as_json:
        _machine(list_rows(ENTRIES))
        return
    rows = [
        (d.id, "alert" if d.alert else str(d.priority), d.text, d.action, f"{d.respond_within_s:g}")
        for d in ENTRIES
    ]
    headings = ("alarm", "priority", "text", "what to do", "within, s")
    _show(Console(highlight=False), headings, rows)


@alarms.command("journal")
def show_journal(run: Run, as_json: AsJson = False) -> None:
    """Show every event of a run: what came, went, was acknowledged, shelved or suppressed."""
    console = Console(highlight=False)
    journal = _read(console, run)
    if as_json:
        _machine(event_rows(journal.events))
        return
    rows = [
        (
            clock(e.time - journal.begin),
            "alert" if e.alert else str(e.priority),
            f"{e.text} (first)" if e.first_out else e.text,
            str(e.kind),
            str(e.state),
            f"{e.user}: {e.reason}" if e.user else "",
        )
        for e in journal.events
    ]
    _show(console, ("at", "priority", "alarm", "event", "state", "by"), rows)


@alarms.command("statistics")
def show_statistics(run: Run, as_json: AsJson = False) -> None:
    """Compare the alarms of a run with known figures; exit status 1 if one is missed."""
    console = Console(highlight=False)
    journal = _read(console, run)
    figures = journal.figures()
    if as_json:
        found = journal.statistics()
        _machine(
            {
                "figures": figure_rows(figures),
                "top": [list(item) for item in found.top],
                "chattering": dict(found.chattering),
                "fleeting": dict(found.fleeting),
                "stale": list(found.stale),
                "floods_s": [[a - found.begin, b - found.begin] for a, b in found.floods],
                "upsets": [
                    {"begin_s": u.begin - found.begin, "alarms_in_10_min": u.alarms}
                    for u in found.upsets
                ],
                "priorities": {str(p): share for p, share in found.priorities.items()},
            }
        )
    else:
        word = {True: "met", False: "missed", None: "says nothing here"}
        rows = [(f.name, f"{f.value:.3g}", f.goal, word[f.good]) for f in figures]
        _show(console, ("figure", "reached", "known to be good", ""), rows)
    if any(f.good is False for f in figures):
        raise typer.Exit(MISSED)
