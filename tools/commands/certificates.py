"""``twinline certificates``: how long they last, and new ones while everything runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from tools.clocks import SystemClock
from tools.pki import PARTIES, WARN_BEFORE, twinline_home
from tools.renewal import lives, renew

__all__ = ["certificates"]

SOON = 1
BAD_INPUT = 2

certificates = typer.Typer(
    name="certificates",
    help="Certificates of plant, controller and operator: list them, renew one.",
    no_args_is_help=True,
)


@certificates.command("list")
def list_certificates() -> None:
    """Show how long each certificate is valid: exit status 1 if one ends within 30 days."""
    console = Console(highlight=False)
    found = lives(twinline_home(), SystemClock().now())
    if not found:
        console.print(f"no certificates yet under {twinline_home()}", markup=False)
        raise typer.Exit(BAD_INPUT)
    for life in found:
        text = f"{life.party:10} until {life.ends:%Y-%m-%d %H:%M} UTC, {life.days_left:.1f} days"
        style = None if not life.soon else "bold red" if life.days_left <= 0.0 else "yellow"
        console.print(text, style=style, markup=False)
    if any(life.soon for life in found):
        console.print(
            f"ends within {WARN_BEFORE.days} days: twinline certificates renew PARTY", markup=False
        )
        raise typer.Exit(SOON)


@certificates.command("renew")
def renew_certificate(
    party: Annotated[str, typer.Argument(help=f"{', '.join(PARTIES)}.", show_default=False)],
    days: Annotated[float, typer.Option(help="How long it is to be valid.", min=1.0)] = 365.0,
    bits: Annotated[int, typer.Option(help="Length of the key.", min=2048)] = 2048,
) -> None:
    """Make new keys for a party; what runs goes on, and uses them from its next connection on."""
    console = Console(highlight=False)
    try:
        file = renew(twinline_home(), party, days=days, bits=bits)
    except (OSError, ValueError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    console.print(f"{file}; the one before stays trusted until it ends", markup=False)
