"""``twinline demo``: a shift over a secured link, with three controllers, a table and a report."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.config_errors import ConfigError
from tools.demo.orchestrate import (
    CONTROLLERS,
    SELECTABLE,
    DemoOrder,
    default_parallel,
    prepare,
    run_demo,
)
from tools.report.saved import RESULT
from tools.rundir import RunDir, new_run

__all__ = ["demo"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
CONFIGS = Path("configs")


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No live display, a line now and then.")
    ] = False,
    minutes: Annotated[
        float, typer.Option(help="Length of the shift after start-up.", min=5.0, max=1440.0)
    ] = 40.0,
    controller: Annotated[
        str, typer.Option(help="nmpc, lmpc, pid, plc; all: all but lmpc.", metavar="NAME")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Of the noise and of what the twin ignores.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results here.", metavar="FILE")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; by default runs/<UTC>-demo.")
    ] = None,
    configs: Annotated[Path, typer.Option(help="Folder of the configurations.")] = CONFIGS,
) -> None:
    """Run the shift with every controller; exit status 0 if all runs went through, 1 if not."""
    console = Console(highlight=False)
    try:
        names = _controllers(controller)
        order = DemoOrder(
            controllers=names,
            minutes=minutes,
            seed=seed,
            run=_folder(run),
            configs=configs,
            headless=headless or not console.is_terminal,
            parallel=default_parallel(),
        )
        prepared = prepare(order)
    except (ConfigError, ValueError, OSError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    folder = order.run.path
    console.print(f"run {folder}: {', '.join(names)}, {minutes:g} min after start-up")
    try:
        succeeded = run_demo(prepared, console)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        console.print("stopped; everything that was started has been ended")
        raise typer.Exit(INTERRUPTED) from error
    if json_file is not None:
        shutil.copyfile(folder / RESULT, json_file)
    if not succeeded:
        raise typer.Exit(FAILED)


def _controllers(text: str) -> tuple[str, ...]:
    if text == "all":
        return CONTROLLERS
    if text not in SELECTABLE:
        raise ValueError(f"{text!r} is no controller; one of {', '.join(SELECTABLE)}, all")
    return (text,)


def _folder(run: Path | None) -> RunDir:
    if run is None:
        return new_run("demo")
    if run.exists() and any(run.iterdir()):
        raise FileExistsError(f"{run} is not empty; a demo needs a folder of its own")
    run.mkdir(parents=True, exist_ok=True)
    return RunDir(run)
