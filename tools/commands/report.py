"""``twinline report``: the report of a finished demo, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from controller.records.historian import HistoryError
from tools.report.saved import REPORT, report_again

__all__ = ["report"]

BAD_INPUT = 2


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished demo.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(help="Where to; by default report.html in that folder.")
    ] = None,
) -> None:
    """Write the report of a finished demo from its records."""
    console = Console(highlight=False)
    target = output if output is not None else run / REPORT
    try:
        report_again(run, target)
    except (OSError, HistoryError, KeyError, ValueError) as error:
        console.print(f"{run} holds no finished demo: {error}", style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    console.print(f"report: {target}", soft_wrap=True)
