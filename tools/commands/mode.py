"""``twinline mode``: an operator asks the controller for a mode."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from controller.config import LinkConfig
from tools.people import PersonRefused, at_controller
from tools.pki import ensure_pki, twinline_home
from tools.rundir import RunDir
from tools.security import read_password

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
) -> None:
    """Ask the controller for a mode: exit status 0 if it is accepted, 1 if it is refused."""
    console = Console(highlight=False)
    try:
        folder = RunDir(run) if run is not None else None
        password = _password(folder, user, password_file)
        address = endpoint or _address(folder)
        accepted, text = asyncio.run(_ask(address, user, password, wanted.upper(), reason))
    except (OSError, PersonRefused) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    console.print(text, style="green" if accepted else "bold red", markup=False)
    if not accepted:
        raise typer.Exit(REFUSED)


def _password(folder: RunDir | None, user: str, file: Path | None) -> str:
    if file is None and folder is not None:
        kept = folder.secrets / f"{user}.password"
        file = kept if kept.is_file() else None
    if file is not None:
        return read_password(file)
    answer: str = typer.prompt(f"Password of {user}", hide_input=True)
    return answer


def _address(folder: RunDir | None) -> str:
    listening = folder.listening("controller") if folder is not None else None
    return listening.endpoint if listening is not None else LinkConfig().operator_endpoint


async def _ask(
    endpoint: str, user: str, password: str, wanted: str, reason: str
) -> tuple[bool, str]:
    me = ensure_pki(twinline_home())["operator"]
    async with at_controller(endpoint, me, user, password) as desk:
        return await desk.request_mode(wanted, reason)
