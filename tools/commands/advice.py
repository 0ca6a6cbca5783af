"""``twinline advice`` and ``twinline readiness``: what is advised, and how good it has been."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from tools.commands.desk import (
    REFUSED,
    EndpointOption,
    PasswordOption,
    ReasonOption,
    RunOption,
    UserOption,
    at_desk,
    told,
)

__all__ = ["advice", "at_desk", "readiness"]


Result = TypeVar("Result")

advice = typer.Typer(
    name="advice",
    help="See, accept, reject or hold the moves that the controller advises.",
    no_args_is_help=True,
)

_Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the advice.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print it for machines.")]


@advice.command("list")
def show(
    user: UserOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
    as_json: _Json = False,
) -> None:
    """Show the advice in force: the move, why, what it should bring, until when it holds."""
    console = Console(highlight=False)
    found = at_desk(console, user, run, endpoint, password_file, lambda desk: desk.advice())
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if not found:
        console.print("there is no advice")
        return
    for item in found:
        until = datetime.fromtimestamp(item["expires"], UTC).strftime("%H:%M:%S UTC")
        console.print(f"{item['id']}: {item['text']}, until {until}", style="bold", markup=False)
        held = f"held by {item['held_by']}" if item["held_by"] else ""
        overtaken = f"overtaken: {item['overtaken']}" if item["overtaken"] else ""
        because = "; ".join((item["reason"], *item["limits"]))
        for text in (because, item["effect"], held, item["note"], overtaken):
            if text:
                console.print(f"   {text}", markup=False, soft_wrap=True)


@advice.command()
def accept(
    number: _Id,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Accept an advice: enter the move at the PLC, or, where configured, the controller does."""
    _answer("accept", number, user, reason, run, endpoint, password_file)


@advice.command()
def reject(
    number: _Id,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Reject an advice: the move is not advised again for a while."""
    _answer("reject", number, user, reason, run, endpoint, password_file)


@advice.command()
def hold(
    number: _Id,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Hold an advice, so that it stays while you read or enter it."""
    _answer("hold", number, user, reason, run, endpoint, password_file)


@advice.command()
def release(
    number: _Id,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Hold an advice no longer."""
    _answer("release", number, user, reason, run, endpoint, password_file)


def readiness(
    user: UserOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
    as_json: _Json = False,
) -> None:
    """Show what the controller thinks of itself: exit status 0 if it is ready, 1 if it is not."""
    console = Console(highlight=False)
    found = at_desk(console, user, run, endpoint, password_file, lambda desk: desk.readiness())
    if found is None:
        console.print("there is no report yet", style="bold red")
        raise typer.Exit(REFUSED)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        table = Table("item", "value", "goal", "", "remarks")
        for line in found["lines"]:
            value = "-" if line["value"] is None else f"{line['value']:.4g} {line['unit']}".strip()
            mark = "[green]good" if line["good"] else "[bold red]not yet"
            table.add_row(line["name"], value, line["goal"], mark, line["text"])
        console.print(table)
        console.print("ready" if found["ready"] else "not ready")
    if not found["ready"]:
        raise typer.Exit(REFUSED)


def _answer(
    action: str,
    number: int,
    user: str,
    reason: str,
    run: Path | None,
    endpoint: str | None,
    password_file: Path | None,
) -> None:
    console = Console(highlight=False)
    accepted, text = at_desk(
        console,
        user,
        run,
        endpoint,
        password_file,
        lambda desk: desk.answer_advice(action, number, reason),
    )
    told(console, accepted, text)
