"""``twinline recording``: recorded presses, checked and fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools.commands.recording_fit import fit_recording
from tools.config_errors import ConfigError
from tools.configuration import load_recording_mapping
from tools.recordings.findings import RecordingError
from tools.recordings.reader import read_recording
from tools.recordings.table import channels_table, findings_table, summary, summary_lines

__all__ = ["recording"]

BAD_INPUT = 2

recording = typer.Typer(
    name="recording", help="Recorded presses, as data for the twin.", no_args_is_help=True
)


@recording.callback()
def _group() -> None:
    """Recorded presses, as data for the twin."""


@recording.command("check")
def check_recording(
    file: Annotated[
        Path, typer.Argument(help="The recording, .csv or .csv.gz.", show_default=False)
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="Its columns and units (kind: recording); by default those of "
            "configs/recordings/tablet_press.yaml.",
            metavar="FILE",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the findings here.", metavar="FILE")
    ] = None,
) -> None:
    """Say what is wrong with a recording and what was done about it.

    Exit status 0 when it can be used, 2 when not.
    """
    console = Console(highlight=False)
    try:
        chosen = None if mapping is None else load_recording_mapping(mapping)
        loaded = read_recording(file, chosen)
        if json_file is not None:
            json_file.write_text(json.dumps(summary(loaded), indent=2) + "\n", "utf-8")
    except (ConfigError, RecordingError, OSError) as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from error
    for line in summary_lines(loaded):
        console.print(line, markup=False)
    console.print()
    console.print(channels_table(loaded.recording))
    console.print()
    console.print(findings_table(loaded.findings))


recording.command("fit")(fit_recording)
