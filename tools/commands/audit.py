"""``twinline audit``: who did what at a controller, from the records of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from controller.records.audit import read_audit
from controller.records.historian import sqlite_url
from tools.commands.replay import historian_file

__all__ = ["audit"]

BAD_INPUT = 2


def audit(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run, or its historian.sqlite.", show_default=False)
    ],
    user: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="For machines: JSON on standard output.")
    ] = False,
) -> None:
    """Show who logged in at a controller or tried to, and what people asked of it."""
    console, file = Console(highlight=False), historian_file(run)
    try:
        if not file.is_file():
            raise FileNotFoundError(f"there is no {file}")
        entries = read_audit(sqlite_url(file), user)
    except (OSError, SQLAlchemyError) as error:
        console.print(f"{run}: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from error
    if as_json:
        typer.echo(json.dumps([asdict(e) for e in entries], indent=1, ensure_ascii=False))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("at (UTC)", "user", "role", "from", "what", "reason", "", "answer"):
        table.add_column(heading)
    for e in entries:
        at = datetime.fromtimestamp(e.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        word = "accepted" if e.accepted else "refused"
        cells = (at, e.user, e.role, e.origin, e.what, e.reason, word, e.answer)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
