"""``twinline recording fit``: a press cell fitted to a recording, as tables, page and JSON."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from plant_models.recording import Recording
from tools.commissioning.press_fit import fit_press
from tools.commissioning.press_fit_table import fit_tables
from tools.commissioning.press_result import FitError, PressFit, as_data
from tools.config_errors import ConfigError
from tools.configuration import load_recording_mapping
from tools.recordings.findings import RecordingError
from tools.recordings.reader import LoadedRecording, read_recording
from tools.report.press_fit_page import fit_page
from tools.rundir import new_run

__all__ = ["PressLaw", "fit_recording"]

BAD_INPUT = 2


class PressLaw(StrEnum):
    """Law of compaction."""

    kawakita = "kawakita"
    heckel = "heckel"


def fit_recording(
    file: Annotated[
        Path, typer.Argument(help="The recording, .csv or .csv.gz.", show_default=False)
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="Its columns, units and products (kind: recording); by default those of "
            "configs/recordings/tablet_press.yaml.",
            metavar="FILE",
        ),
    ] = None,
    law: Annotated[PressLaw, typer.Option(help="Law of compaction.")] = PressLaw.kawakita,
    batches: Annotated[
        str,
        typer.Option(
            help="Batches to fit on: first-half, all, or names with commas between them.",
            metavar="WHICH",
        ),
    ] = "first-half",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page; by default a new one in runs.", metavar="DIR"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the fit here.", metavar="FILE")
    ] = None,
) -> None:
    """Fit die fill, compaction and machine of a press to a recording.

    Says what the recording can tell and what not, and writes a page with plots. Exit status 0 when
    there is a fit, 2 when the file or the batches cannot be used.
    """
    console = Console(highlight=False)
    try:
        chosen = None if mapping is None else load_recording_mapping(mapping)
        loaded = read_recording(file, chosen)
        names = _chosen(loaded.recording, batches)
        fit = _fit(console, loaded, names, law)
        page = (new_run("fit").path if out is None else out) / f"fit-{fit.recording}-{law}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        fit_page(fit, loaded.recording, page)
        if json_file is not None:
            json_file.write_text(json.dumps(as_data(fit), indent=2) + "\n", "utf-8")
    except (ConfigError, RecordingError, FitError, OSError) as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from error
    console.print(fit_tables(fit))
    console.print(f"page: {page}", markup=False, soft_wrap=True)


def _chosen(recording: Recording, which: str) -> tuple[str, ...]:
    if which == "first-half":
        return recording.split()[0]
    if which == "all":
        return recording.batches()
    names = tuple(name.strip() for name in which.split(",") if name.strip())
    unknown = [name for name in names if name not in recording.batches()]
    if unknown or not names:
        raise FitError(
            f"--batches {which}: {', '.join(unknown) or 'no name'} is no batch of this recording; "
            f"first-half, all, or of {', '.join(recording.batches())}"
        )
    return names


def _fit(
    console: Console, loaded: LoadedRecording, batches: tuple[str, ...], law: PressLaw
) -> PressFit:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("fit", total=1.0)
        return fit_press(
            loaded.recording,
            batches,
            loaded.tooling,
            law.value,
            lambda text, share: progress.update(task, description=text, completed=share),
        )
