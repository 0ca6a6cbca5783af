"""What people ask about products at the desks: load, shadow, promote, and the PLC's recipe."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from asyncua import ua
from rich.console import Console
from rich.table import Table

from controller.config import LinkConfig
from controller.products.sets import ProductSet
from controller.products.shadow import COMPARED
from hil.cleaning import CLEANING
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
from tools.config_errors import ConfigError
from tools.configuration import load_product_set
from tools.operator_login import password_of
from tools.people import ControllerDesk, PersonRefused, at_plant
from tools.pki import ensure_pki, twinline_home
from tools.rundir import RunDir

__all__ = ["add_commands"]

_SET, _SHADOW = "Controller/Product", "Controller/Product/Shadow"
_FIGURES = ("Error", "Bias", "Coverage")

_File = Annotated[
    Path, typer.Argument(metavar="SET", help="Product set, as the run has it.", show_default=False)
]
_Cleaning = Annotated[
    str, typer.Option(help=f"How the line was cleaned for another product: {', '.join(CLEANING)}.")
]


def add_commands(product: typer.Typer) -> None:
    """Add what needs a running controller or plant to ``twinline product``."""
    product.command("status")(status)
    product.command("load")(load)
    product.command("shadow")(shadow)
    product.command("drop")(drop)
    product.command("promote")(promote)
    product.command("recipe")(recipe)


def status(
    user: UserOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Show the set in force, and how a candidate in shadow does against the active model."""
    console = Console(highlight=False)
    at_desk(console, user, run, endpoint, password_file, lambda desk: _show(desk, console))


def load(
    file: _File,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Load a set of another product, or one that was in force, in OFF or MONITORING."""
    _ask("LoadProduct", file, user, reason, run, endpoint, password_file)


def shadow(
    file: _File,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Let a set of the same product run in shadow."""
    _ask("ShadowModel", file, user, reason, run, endpoint, password_file)


def drop(
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """End the shadow."""
    _ask("DropShadow", None, user, reason, run, endpoint, password_file)


def promote(
    file: _File,
    user: UserOption,
    reason: ReasonOption,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Put the set that runs in shadow in force, in OFF or MONITORING."""
    _ask("PromoteModel", file, user, reason, run, endpoint, password_file)


def recipe(
    file: _File,
    user: UserOption,
    reason: ReasonOption,
    cleaning: _Cleaning = "",
    run: RunOption = None,
    endpoint: EndpointOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Load the recipe of a set into the PLC, in LOCAL; another product into an idle line."""
    console = Console(highlight=False)
    wanted = _loaded(console, file).recipe_id
    folder = None if run is None else RunDir(run)
    listening = None if folder is None else folder.listening("plant")
    where = endpoint or (LinkConfig().endpoint if listening is None else listening.endpoint)

    async def visit(password: str) -> str:
        me = ensure_pki(twinline_home())["operator"]
        async with at_plant(where, me, user, password) as desk:
            return await desk.load_recipe(wanted, cleaning, reason)

    try:
        answer = asyncio.run(visit(password_of(folder, user, password_file)))
    except (OSError, PersonRefused) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    told(console, answer == "done", f"{wanted}: {answer}")


def _ask(
    method: str,
    file: Path | None,
    user: str,
    reason: str,
    run: Path | None,
    endpoint: str | None,
    password_file: Path | None,
) -> None:
    console = Console(highlight=False)
    words = ([] if file is None else [_loaded(console, file).hash]) + [reason]
    texts = [ua.Variant(word, ua.VariantType.String) for word in words]

    async def work(desk: ControllerDesk) -> tuple[bool, str]:
        accepted, said = await desk.call(f"Controller/{method}", *texts)
        return bool(accepted), str(said)

    told(console, *at_desk(console, user, run, endpoint, password_file, work))


def _loaded(console: Console, file: Path) -> ProductSet:
    try:
        return load_product_set(file)
    except ConfigError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


async def _show(desk: ControllerDesk, console: Console) -> None:
    name, version, recipe_id, bound = await desk.read(
        [
            *(f"{_SET}/{n}" for n in ("Name", "Version", "RecipeIdWanted")),
            "Controller/Permissives/ProductSetBound/Text",
        ]
    )
    if name is None:
        console.print("the run has no product set")
        return
    console.print(f"{name} version {version}, {recipe_id}: {bound}", markup=False, soft_wrap=True)
    candidate, cycles, verdict = await desk.read(
        [f"{_SHADOW}/{n}" for n in ("Hash", "Cycles", "Verdict")]
    )
    if candidate is None:
        console.print("nothing runs in shadow")
        return
    console.print(
        f"in shadow: {candidate}, compared for {cycles} cycles: {verdict}", soft_wrap=True
    )
    shown = Table(box=None, pad_edge=False)
    for heading in ("% of samples", "figure", "active", "candidate"):
        shown.add_column(heading)
    for variable in COMPARED:
        for figure in _FIGURES:
            paths = [f"{_SHADOW}/{variable}/{figure}{m}" for m in ("Active", "Candidate")]
            values = ["-" if v is None else f"{v:.2f}" for v in await desk.read(paths)]
            shown.add_row(str(variable), figure.lower(), *values)
    console.print(shown)
