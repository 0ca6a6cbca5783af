"""``twinline demo``: a simulated shift, or a recorded press, with a table and a report."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.demo_recording import MINUTES, ready_recording, refuse_idle
from tools.commands.recording_fit import PressLaw
from tools.config_errors import ConfigError
from tools.demo.orchestrate import (
    CONTROLLERS,
    SELECTABLE,
    SHIFTS,
    DemoOrder,
    default_parallel,
    prepare,
    run_demo,
)
from tools.demo.recorded import RecordedOrder
from tools.report.saved import RESULT
from tools.rundir import RunDir, new_run

__all__ = ["demo"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
CONFIGS = Path("configs")


def demo(
    context: typer.Context,
    headless: Annotated[
        bool, typer.Option("--headless", help="No live display, a line now and then.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Length of the shift after start-up, by default 40; of a recording, what is "
            "played over the link, by default 120.",
            min=5.0,
            max=1440.0,
        ),
    ] = None,
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
    shift: Annotated[
        str,
        typer.Option(
            help="default: disturbances; supervision: a stop, a set point in local, a lost NIR, "
            "for nmpc unless told otherwise.",
            metavar="NAME",
        ),
    ] = "default",
    recording: Annotated[
        Path | None,
        typer.Option(help="A recorded press (.csv, .csv.gz) instead of a shift.", metavar="FILE"),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Columns and units of the recording.", metavar="FILE")
    ] = None,
    law: Annotated[PressLaw, typer.Option(help="Law of compaction.")] = PressLaw.kawakita,
) -> None:
    """Run the shift with every controller, or fit, watch and forecast a recorded press.

    Exit status 0 if all runs went through, 1 if not, 2 for bad input.
    """
    console = Console(highlight=False)
    quiet = headless or not console.is_terminal
    try:
        refuse_idle(context, recording)
        if recording is None:
            names = _controllers(controller, shift)
            folder = _folder(run)
            order = DemoOrder(
                controllers=names,
                minutes=40.0 if minutes is None else minutes,
                seed=seed,
                run=folder,
                configs=configs,
                headless=quiet,
                parallel=default_parallel(),
                shift=shift,
            )
            work = _ready_shift(order, console)
        else:
            folder = _folder(run)
            recorded = RecordedOrder(
                file=recording,
                mapping=mapping,
                law=law.value,
                minutes=MINUTES if minutes is None else minutes,
                run=folder,
                configs=configs,
                headless=quiet,
            )
            work = ready_recording(recorded, console)
    except (ConfigError, ValueError, OSError) as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from error
    except KeyboardInterrupt as error:
        console.print("stopped before anything was started")
        raise typer.Exit(INTERRUPTED) from error
    try:
        succeeded = work()
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        console.print("stopped; everything that was started has been ended")
        raise typer.Exit(INTERRUPTED) from error
    if json_file is not None:
        shutil.copyfile(folder.path / RESULT, json_file)
    if not succeeded:
        raise typer.Exit(FAILED)


def _ready_shift(order: DemoOrder, console: Console) -> Callable[[], bool]:
    prepared = prepare(order)
    names = ", ".join(order.controllers)
    console.print(f"run {order.run.path}: {names}, {order.minutes:g} min after start-up")
    return lambda: run_demo(prepared, console)


def _controllers(text: str, shift: str) -> tuple[str, ...]:
    if shift not in SHIFTS:
        raise ValueError(f"{shift!r} is no shift; one of {', '.join(SHIFTS)}")
    if shift == "supervision" and text == "plc":
        raise ValueError("the PLC alone is never in closed loop: choose nmpc, lmpc or pid")
    if text == "all":
        return CONTROLLERS if shift == "default" else CONTROLLERS[:1]
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
