"""What every command at a desk shares: who asks, where, and how it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from tools.operator_login import address_of, password_of
from tools.people import ControllerDesk, PersonRefused, at_controller
from tools.pki import ensure_pki, twinline_home
from tools.rundir import RunDir

__all__ = [
    "BAD_INPUT",
    "REFUSED",
    "EndpointOption",
    "PasswordOption",
    "ReasonOption",
    "RunOption",
    "UserOption",
    "at_desk",
    "told",
]

REFUSED = 1
BAD_INPUT = 2

UserOption = Annotated[str, typer.Option(help="Who asks.", show_default=False)]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept.", show_default=False)]
RunOption = Annotated[Path | None, typer.Option(help="Folder of the run.")]
EndpointOption = Annotated[str | None, typer.Option(help="The server; by default that of the run.")]
PasswordOption = Annotated[
    Path | None, typer.Option(help="A 0600 file; by default that of the run, else you are asked.")
]

Result = TypeVar("Result")


def at_desk(
    console: Console,
    user: str,
    run: Path | None,
    endpoint: str | None,
    password_file: Path | None,
    work: Callable[[ControllerDesk], Awaitable[Result]],
) -> Result:
    """Do something at the controller; who is refused there leaves with status 2."""

    async def visit(where: str, password: str) -> Result:
        me = ensure_pki(twinline_home())["operator"]
        async with at_controller(where, me, user, password) as desk:
            return await work(desk)

    try:
        folder = RunDir(run) if run is not None else None
        password = password_of(folder, user, password_file)
        return asyncio.run(visit(endpoint or address_of(folder), password))
    except (OSError, PersonRefused) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


def told(console: Console, accepted: bool, text: str) -> None:
    """Print an answer; a refusal leaves with status 1."""
    console.print(text, style="green" if accepted else "bold red", markup=False, soft_wrap=True)
    if not accepted:
        raise typer.Exit(REFUSED)
