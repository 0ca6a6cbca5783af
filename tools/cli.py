"""The command ``twinline``: one Typer app which every tool joins."""

from importlib.metadata import version
from typing import Annotated

import typer

from tools.commands.advice import advice, readiness
from tools.commands.alarms import alarms
from tools.commands.benchmark import benchmark
from tools.commands.certificates import certificates
from tools.commands.check import check
from tools.commands.control import control
from tools.commands.demo import demo
from tools.commands.docs import docs
from tools.commands.mode import mode
from tools.commands.plant import plant
from tools.commands.product import product
from tools.commands.recording import recording
from tools.commands.replay import replay_run
from tools.commands.report import report
from tools.commands.service import service

app = typer.Typer(
    name="twinline",
    help="Digital twin and model predictive control of a continuous tablet line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


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


app.command()(demo)
app.command()(check)
app.command("replay")(replay_run)
app.command()(report)
app.command()(benchmark)
app.command()(plant)
app.command()(control)
app.command()(mode)
app.command()(docs)
app.command()(readiness)
app.add_typer(advice)
app.add_typer(alarms)
app.add_typer(certificates)
app.add_typer(recording)
app.add_typer(product)
app.add_typer(service)
