"""``twinline plant``: the stand-in of the line behind its OPC UA server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hil.clock import LOCKSTEP, parse_speed
from hil.config import ScenarioConfig
from hil.plant import STATE_FILE, Plant
from hil.server import PlantServer, ServeSettings
from plant_models.line import ResolvedLine
from tools.clocks import SystemClock
from tools.config_errors import ConfigError
from tools.configuration import load_line, load_scenario, load_security
from tools.pki import ensure_pki, twinline_home
from tools.rundir import RunDir, new_run
from tools.security import SecurityConfig, ensure_secrets, server_security
from tools.service import serve

__all__ = ["plant"]

BAD_INPUT = 2
LINE = Path("configs/lines/reference.yaml")
SCENARIO = Path("configs/scenarios/steady.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What to run."""

    line: ResolvedLine
    scenario: ScenarioConfig
    security: SecurityConfig
    run: RunDir
    speed: float
    port: int
    seed: int
    minutes: float | None
    hold_at: int | None


def plant(
    line: Annotated[Path, typer.Argument(help="Configuration of the line.")] = LINE,
    scenario: Annotated[Path, typer.Option(help="What the truth is, and events.")] = SCENARIO,
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
    """Run the simulated line until it is stopped (Ctrl-C)."""
    console = Console(highlight=False)
    try:
        files = [line, scenario] + ([security] if security is not None else [])
        order = _Order(
            line=load_line(line),
            scenario=load_scenario(scenario),
            security=SecurityConfig() if security is None else load_security(security),
            run=RunDir(run) if run is not None else new_run("plant"),
            speed=parse_speed(speed),
            port=port,
            seed=seed,
            minutes=minutes,
            hold_at=hold_at,
        )
        order.run.keep(files)
        order.run.log_to("plant")
        made = _plant(order)
    except (ConfigError, ValueError, OSError) as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error
    try:
        asyncio.run(serve(lambda stop: _run(order, made, console, stop)))
    except OSError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(BAD_INPUT) from error


def _plant(order: _Order) -> Plant:
    if (order.run.path / STATE_FILE).is_file():
        return Plant.resume(
            order.line, order.scenario, run_dir=order.run.path, minutes=order.minutes
        )
    return Plant(
        order.line,
        order.scenario,
        seed=order.seed,
        start_time=float(int(SystemClock().now())),
        run_dir=order.run.path,
        minutes=order.minutes,
    )


async def _run(order: _Order, made: Plant, console: Console, stop: asyncio.Event) -> None:
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
    console.print(f"plant: {server.endpoint}, {pace}, run {order.run.path}", soft_wrap=True)
    try:
        await server.run(stop)
    finally:
        order.run.withdraw("plant")
        await server.stop()
