"""``twinline plant``: the stand-in of the line, or a recording, behind its OPC UA server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hil.clock import LOCKSTEP, parse_speed
from hil.config import ScenarioConfig
from hil.plant import STATE_FILE, Plant
from hil.recipes import Recipe
from hil.recorded import RecordedPlant
from hil.server import PlantPort, PlantServer, ServeSettings
from plant_models.line import ResolvedLine
from tools.clocks import SystemClock
from tools.config_errors import ConfigError
from tools.configuration import (
    load_line,
    load_recording_mapping,
    load_scenario,
    load_security,
)
from tools.pki import ensure_pki, twinline_home
from tools.product_sets import recipes_beside, set_of_line
from tools.recordings.reader import LoadedRecording, read_recording
from tools.rundir import RunDir, new_run
from tools.security import SecurityConfig, ensure_secrets, server_security
from tools.service import serve

__all__ = ["plant"]

BAD_INPUT = 2
LINE = Path("configs/lines/reference.yaml")
RECORDED_LINE = Path("configs/lines/recorded_press.yaml")
SCENARIO = Path("configs/scenarios/steady.yaml")

# Options that mean something to one kind of plant only.
_SIMULATED = ("scenario", "seed", "minutes", "product_set")
_RECORDED = ("mapping", "from_row")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What to run: a scenario on the simulated line, or a recording from ``first_row`` on."""

    line: ResolvedLine
    source: ScenarioConfig | LoadedRecording
    security: SecurityConfig
    run: RunDir
    speed: float
    port: int
    seed: int
    minutes: float | None
    hold_at: int | None
    first_row: int | None
    recipe_id: str | None
    recipes: Sequence[Recipe] = ()


def plant(
    context: typer.Context,
    line: Annotated[
        Path | None,
        typer.Argument(
            help="Configuration of the line; by default the reference line, for a recording "
            f"{RECORDED_LINE}."
        ),
    ] = None,
    scenario: Annotated[Path, typer.Option(help="What the truth is, and events.")] = SCENARIO,
    recording: Annotated[
        Path | None, typer.Option(help="Play this recorded press (.csv, .csv.gz) instead.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Columns and units of the recording.")
    ] = None,
    product_set: Annotated[
        Path | None,
        typer.Option(help="Product set that the PLC has loaded; its line is set up for it."),
    ] = None,
    from_row: Annotated[
        int | None, typer.Option(help="Row of the recording to begin with, from 0.", min=0)
    ] = None,
    security: Annotated[
        Path | None, typer.Option(help="Security settings; built-in ones by default.")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Plant seconds per second, or 'lockstep'.", metavar="X")
    ] = "1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.", min=0)] = 4840,
    seed: Annotated[int, typer.Option(help="Of the noise and of what the twin ignores.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Length of the shift that events refer to.", min=1.0)
    ] = None,
    hold_at: Annotated[
        int | None,
        typer.Option(help="In lock-step, wait for people at this plant second.", min=0),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; a plant saved in it goes on there, in LOCAL."),
    ] = None,
) -> None:
    """Run the simulated line, or play a recorded press, until it is stopped (Ctrl-C)."""
    console = Console(highlight=False)
    try:
        _check_options(context, recording)
        made_set = None if product_set is None else set_of_line(product_set, line)
        line = line or (LINE if recording is None else RECORDED_LINE)
        told_by = scenario if recording is None else mapping
        files = [f for f in (line, product_set, told_by, security) if f is not None]
        order = _Order(
            line=load_line(line) if made_set is None else made_set.line,
            recipe_id=None if made_set is None else made_set.recipe_id,
            recipes=() if product_set is None else recipes_beside(product_set),
            source=load_scenario(scenario) if recording is None else _read(recording, mapping),
            security=SecurityConfig() if security is None else load_security(security),
            first_row=from_row,
            run=RunDir(run) if run is not None else new_run("plant"),
            speed=parse_speed(speed),
            port=port,
            seed=seed,
            minutes=minutes,
            hold_at=hold_at,
        )
        order.run.keep(files)
        order.run.log_to("plant")
        made, told = _plant(order)
    except (ConfigError, ValueError, OSError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    try:
        asyncio.run(serve(lambda stop: _run(order, made, told, console, stop)))
    except OSError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


def _check_options(context: typer.Context, recording: Path | None) -> None:
    """Refuse options that would say nothing to this kind of plant."""
    idle = _RECORDED if recording is None else _SIMULATED
    given = [
        f"--{name.replace('_', '-')}"
        for name in idle
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    ]
    if given and recording is None:
        raise ValueError(f"{', '.join(given)}: only with --recording FILE")
    if given:
        raise ValueError(f"{', '.join(given)}: only for a simulated line, not with --recording")


def _read(recording: Path, mapping: Path | None) -> LoadedRecording:
    return read_recording(recording, None if mapping is None else load_recording_mapping(mapping))


def _plant(order: _Order) -> tuple[PlantPort, str]:
    """The plant, new or going on where it was saved, and what to tell about it."""
    folder, saved = order.run.path, (order.run.path / STATE_FILE).is_file()
    if isinstance(order.source, LoadedRecording):
        recording = order.source.recording
        played = (
            RecordedPlant.resume(order.line, recording, run_dir=folder, first_row=order.first_row)
            if saved
            else RecordedPlant(
                order.line, recording, run_dir=folder, first_row=order.first_row or 0
            )
        )
        return played, _told(order.source, played.next_row)
    if saved:
        made = Plant.resume(
            order.line,
            order.source,
            run_dir=folder,
            minutes=order.minutes,
            recipe_id=order.recipe_id,
            recipes=order.recipes,
        )
    else:
        made = Plant(
            order.line,
            order.source,
            seed=order.seed,
            start_time=float(int(SystemClock().now())),
            run_dir=folder,
            minutes=order.minutes,
            recipe_id=order.recipe_id,
            recipes=order.recipes,
        )
    return made, ""


def _told(loaded: LoadedRecording, next_row: int) -> str:
    recording, errors = loaded.recording, sum(f.severity == "error" for f in loaded.findings)
    return (
        f"recording {recording.name}: product {recording.code}, row {next_row} of "
        f"{recording.size} comes first, {len(loaded.findings)} findings of which {errors} errors\n"
    )


async def _run(
    order: _Order, made: PlantPort, told: str, console: Console, stop: asyncio.Event
) -> None:
    clock, config = SystemClock(), order.security
    parties = ensure_pki(twinline_home(), days=config.certificate_days, bits=config.key_bits)
    ensure_secrets(order.run.secrets, config)
    settings = ServeSettings(
        host=config.listen,
        port=order.port,
        speed=order.speed,
        control_period_s=order.line.line.plc.control_period_s,
        hold_at=order.hold_at,
    )
    security = server_security(parties["plant"], order.run.secrets, config, clock)
    server = PlantServer(made, settings, security, clock)
    await server.start()
    order.run.announce("plant", server.endpoint)
    pace = "in lock-step" if order.speed == LOCKSTEP else f"at speed {order.speed:g}"
    console.print(
        f"{told}plant: {server.endpoint}, {pace}, run {order.run.path}",
        soft_wrap=True,
        markup=False,
    )
    try:
        await server.run(stop)
    finally:
        order.run.withdraw("plant")
        await server.stop()
