"""``twinline alarms show`` and so on: what a person does with the alarms of a controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.desk import (
    EndpointOption,
    PasswordOption,
    ReasonOption,
    RunOption,
    UserOption,
    at_desk,
    told,
)

__all__ = ["join"]

_Alarm = Annotated[str, typer.Argument(help="Name of the alarm.", show_default=False)]


def show(
    user: UserOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Show the alarms that are shown now, the newest first."""
    console = Console(highlight=False)
    found = at_desk(console, user, run, endpoint, password_file, lambda desk: desk.alarms())
    for line in found or ["there is no alarm"]:
        console.print(line, markup=False, soft_wrap=True)


def acknowledge(
    alarm: _Alarm,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Acknowledge an alarm: somebody knows of it and acts."""
    _ask("Acknowledge", alarm, None, reason, user, run, endpoint, password_file)


def shelve(
    alarm: _Alarm,
    minutes: Annotated[float, typer.Option(help="For how long.", min=0.0, show_default=False)],
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Shelve an alarm for a time."""
    _ask("Shelve", alarm, minutes, reason, user, run, endpoint, password_file)


def unshelve(
    alarm: _Alarm,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """End the shelving of an alarm."""
    _ask("Unshelve", alarm, None, reason, user, run, endpoint, password_file)


def out_of_service(
    alarm: _Alarm,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Take an alarm out of service until further notice."""
    _ask("TakeOutOfService", alarm, None, reason, user, run, endpoint, password_file)


def in_service(
    alarm: _Alarm,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
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
    told(console, accepted, text)
