"""``twinline service``: variables in and out of service, and the limits of operators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from controller.data import CV
from controller.supervision.loss_table import LOSS_LADDER
from controller.supervision.service_data import UNITS
from plant_models.config import REQUIRED_MANIPULATED
from tools.commands.desk import (
    BAD_INPUT,
    EndpointOption,
    PasswordOption,
    ReasonOption,
    RunOption,
    UserOption,
    at_desk,
    told,
)
from tools.people import ControllerDesk

__all__ = ["service"]


service = typer.Typer(
    name="service", help="Variables in and out of service, and their limits.", no_args_is_help=True
)

_Name = Annotated[
    str,
    typer.Argument(
        help="Last part of an MV's tag, a controlled variable, a unit, or a lost instrument."
    ),
]


@service.command()
def show(
    user: UserOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Show what every variable is in, why, and what holds it back."""
    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("variable", "service", "why", "held back", "limits"):
        table.add_column(heading)
    for row in at_desk(console, user, run, endpoint, password_file, _services):
        table.add_row(*map(escape, row))
    console.print(table)


@service.command("in")
def into(
    name: _Name,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Take a variable or a unit into service."""
    _switch(name, True, reason, user, run, endpoint, password_file)


@service.command()
def out(
    name: _Name,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Take a variable or a unit out of service."""
    _switch(name, False, reason, user, run, endpoint, password_file)


@service.command()
def limit(
    mv: Annotated[str, typer.Argument(help="Last part of an MV's tag.")],
    user: UserOption,
    reason: ReasonOption,
    low: Annotated[float | None, typer.Option(help="In its plant unit.")] = None,
    high: Annotated[float | None, typer.Option(help="In its plant unit.")] = None,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Narrow the range of an MV to LOW..HIGH; without both, it has its permitted range again."""
    console = Console(highlight=False)
    if (low is None) != (high is None):
        console.print("give --low and --high, or neither to clear the limits", style="bold red")
        raise typer.Exit(BAD_INPUT)
    answer = at_desk(
        console,
        user,
        run,
        endpoint,
        password_file,
        lambda desk: desk.set_limits(mv, low, high, reason),
    )
    _told(console, *answer)


def _switch(
    name: str,
    on: bool,
    reason: str,
    user: str,
    run: Path | None,
    endpoint: str | None,
    password_file: Path | None,
) -> None:
    console = Console(highlight=False)
    groups = {
        "unit": set(UNITS),
        "cv": {str(c) for c in CV},
        "instrument": {row.name for row in LOSS_LADDER},
    }
    kind = next((k for k, names in groups.items() if name in names), "mv")
    answer = at_desk(
        console,
        user,
        run,
        endpoint,
        password_file,
        lambda desk: desk.set_service(kind, name, on, reason),
    )
    _told(console, *answer)


def _told(console: Console, accepted: bool, text: str) -> None:
    told(console, accepted, text)


async def _services(desk: ControllerDesk) -> list[tuple[str, str, str, str, str]]:
    """Rows to show; a variable without a service is not the algorithm's."""
    parts = ("Service", "ServiceText", "Limited", "LowLimit", "HighLimit")
    names = [f"MVs/{tag.rpartition('/')[2]}" for tag in REQUIRED_MANIPULATED]
    names += [f"CVs/{cv.value}" for cv in CV]
    read = await desk.read([f"Controller/{name}/{part}" for name in names for part in parts])
    rows = []
    for i, name in enumerate(names):
        kept, why, held, low, high = read[i * len(parts) : (i + 1) * len(parts)]
        if kept is None:
            continue
        ends = ["" if x is None else f"{x:.6g}" for x in (low, high)]
        limits = "" if ends == ["", ""] else "..".join(ends)
        rows.append((name.partition("/")[2], str(kept), str(why or ""), str(held or ""), limits))
    return rows
