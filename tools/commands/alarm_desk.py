"""``twinline alarms show`` and so on: what a person does with the alarms of a controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.advice import REFUSED, at_desk

__all__ = ["join"]

_User = Annotated[str, typer.Option(help="Who asks.", show_default=False)]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.", show_default=False)]
_Alarm = Annotated[str, typer.Argument(help="Name of the alarm.", show_default=False)]
_Run = Annotated[Path | None, typer.Option(help="Folder of the controller's run.")]
_Endpoint = Annotated[str | None, typer.Option(help="The controller; by default that of the run.")]
_Password = Annotated[
    Path | None, typer.Option(help="A 0600 file; by default that of the run, else you are asked.")
]


def show(
    user: _User,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """Show the alarms that are shown now, the newest first."""
    console = Console(highlight=False)
    found = at_desk(console, user, run, endpoint, password_file, lambda desk: desk.alarms())
    for line in found or ["there is no alarm"]:
        console.print(line, markup=False, soft_wrap=True)


def acknowledge(
    alarm: _Alarm,
    user: _User,
    reason: _Reason,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """Acknowledge an alarm: somebody knows of it and acts."""
    _ask("Acknowledge", alarm, None, reason, user, run, endpoint, password_file)


def shelve(
    alarm: _Alarm,
    minutes: Annotated[float, typer.Option(help="For how long.", min=0.0, show_default=False)],
    user: _User,
    reason: _Reason,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """Shelve an alarm for a time."""
    _ask("Shelve", alarm, minutes, reason, user, run, endpoint, password_file)


def unshelve(
    alarm: _Alarm,
    user: _User,
    reason: _Reason,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """End the shelving of an alarm."""
    _ask("Unshelve", alarm, None, reason, user, run, endpoint, password_file)


def out_of_service(
    alarm: _Alarm,
    user: _User,
    reason: _Reason,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """Take an alarm out of service until further notice."""
    _ask("TakeOutOfService", alarm, None, reason, user, run, endpoint, password_file)


def in_service(
    alarm: _Alarm,
    user: _User,
    reason: _Reason,
    run: _Run = None,
    endpoint: _Endpoint = None,
    password_file: _Password = None,
) -> None:
    """Put an alarm back in service."""
    _ask("ReturnToService", alarm, None, reason, user, run, endpoint, password_file)


def join(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    for command in (show, acknowledge, shelve, unshelve, out_of_service, in_service):
        app.command(command.__name__.replace("_", "-"))(command)


def _ask(
    method: str,
    alarm: str,
    minutes: float | None,
    reason: str,
    user: str,
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
        lambda desk: desk.answer_alarm(method, alarm, reason, minutes),
    )
    console.print(text, style="green" if accepted else "bold red", markup=False)
    if not accepted:
        raise typer.Exit(REFUSED)
