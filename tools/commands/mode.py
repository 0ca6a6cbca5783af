"""``twinline mode``: an operator asks the controller for a mode."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.operator_login import address_of, password_of
from tools.people import PersonRefused, at_controller
from tools.pki import ensure_pki, twinline_home
from tools.rundir import RunDir

__all__ = ["mode"]

REFUSED = 1
BAD_INPUT = 2


def mode(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="MODE",
            help="OFF, MONITORING, ADVISORY, CLOSED_LOOP or SHED.",
            show_default=False,
        ),
    ],
    user: Annotated[str, typer.Option(help="Who asks.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why; it is kept.", show_default=False)],
    run: Annotated[Path | None, typer.Option(help="Folder of the controller's run.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="The controller; by default that of the run.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="A 0600 file; by default that of the run, else you are asked."),
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Ask the standby of the run; ADVISORY promotes it.")
    ] = False,
) -> None:
    """Ask the controller for a mode: exit status 0 if it is accepted, 1 if it is refused."""
    console = Console(highlight=False)
    try:
        folder = RunDir(run) if run is not None else None
        password = password_of(folder, user, password_file)
        address = endpoint or address_of(folder, "standby" if standby else "controller")
        accepted, text = asyncio.run(_ask(address, user, password, wanted.upper(), reason))
    except (OSError, PersonRefused) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    console.print(text, style="green" if accepted else "bold red", markup=False)
    if not accepted:
        raise typer.Exit(REFUSED)


async def _ask(
    endpoint: str, user: str, password: str, wanted: str, reason: str
) -> tuple[bool, str]:
    me = ensure_pki(twinline_home())["operator"]
    async with at_controller(endpoint, me, user, password) as desk:
        return await desk.request_mode(wanted, reason)
