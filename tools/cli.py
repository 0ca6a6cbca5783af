"""The command ``twinline``: one Typer app which every tool joins.

A command's module is loaded when it is called: help and a mistyped name need none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["COMMANDS", "Joined", "app"]

_ABOUT = "Digital twin and model predictive control of a continuous tablet line."


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a command is found, and its line in the list of all."""

    module: str
    attribute: str
    line: str

    def load(self, name: str) -> Any:
        """The command itself."""
        found = getattr(import_module(self.module), self.attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = name
            return group
        alone = _typer()
        alone.command(name)(found)
        return typer.main.get_command(alone)


COMMANDS = {
    "demo": Joined(
        "tools.commands.demo",
        "demo",
        "Run the shift with every controller, or fit, watch and forecast a recorded press.",
    ),
    "check": Joined(
        "tools.commands.check",
        "check",
        "Validate configurations: exit status 0 when all are good, else 2.",
    ),
    "replay": Joined(
        "tools.commands.replay",
        "replay_run",
        "Run recorded cycles again: exit status 0 if every one comes out bit for bit, else 1.",
    ),
    "report": Joined(
        "tools.commands.report",
        "report",
        "Write the report of a finished demo from its records.",
    ),
    "benchmark": Joined(
        "tools.commands.benchmark",
        "benchmark",
        "Run benchmarks, one after the other, and print what was reached.",
    ),
    "plant": Joined(
        "tools.commands.plant",
        "plant",
        "Run the simulated line, or play a recorded press, until it is stopped (Ctrl-C).",
    ),
    "control": Joined(
        "tools.commands.control",
        "control",
        "Run a controller until it is stopped (Ctrl-C).",
    ),
    "mode": Joined(
        "tools.commands.mode",
        "mode",
        "Ask the controller for a mode: exit status 0 if it is accepted, 1 if it is refused.",
    ),
    "docs": Joined(
        "tools.commands.docs",
        "docs",
        "Write a page that is made from the code.",
    ),
    "readiness": Joined(
        "tools.commands.advice",
        "readiness",
        "Show what the controller thinks of itself: exit status 0 if it is ready, 1 if it is not.",
    ),
    "advice": Joined(
        "tools.commands.advice",
        "advice",
        "See, accept, reject or hold the moves that the controller advises.",
    ),
    "alarms": Joined(
        "tools.commands.alarms",
        "alarms",
        "Alarm list, journal and statistics.",
    ),
    "audit": Joined(
        "tools.commands.audit",
        "audit",
        "Show who logged in at a controller or tried to, and what people asked of it.",
    ),
    "certificates": Joined(
        "tools.commands.certificates",
        "certificates",
        "Certificates of plant, controller and operator: list them, renew one.",
    ),
    "recording": Joined(
        "tools.commands.recording",
        "recording",
        "Recorded presses, as data for the twin.",
    ),
    "product": Joined(
        "tools.commands.product",
        "product",
        "Product sets: hash, limits, differences; load, shadow, promote.",
    ),
    "service": Joined(
        "tools.commands.service",
        "service",
        "Variables in and out of service, and their limits.",
    ),
}


class _Group(TyperGroup):
    """Lists all commands by their lines; loads the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order in which they are of use."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the list shows of a command, or `None`."""
        found = COMMANDS.get(cmd_name)
        return None if found is None else TyperCommand(cmd_name, help=found.line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = COMMANDS[name].load(name)
        return name, command, rest


def _typer(**more: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, pretty_exceptions_show_locals=False, **more)


app = _typer(name="twinline", help=_ABOUT, no_args_is_help=True, cls=_Group)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"twinline {version('twinline')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Digital twin and model predictive control of a continuous tablet line."""
