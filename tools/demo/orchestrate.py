"""The demo from end to end: runs, scores, table, report. Returns whether every run succeeded."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import ua
from rich.console import Console

from controller.records.historian import HistoryError
from hil.config import ScenarioConfig
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from tools.configuration import load_controller, load_line, load_scenario
from tools.demo.deeds import deeds_of
from tools.demo.progress import show_progress
from tools.demo.shift_run import RunOrder, ShiftRun
from tools.demo.status import Phase, Status
from tools.people import PersonRefused
from tools.pki import Party, ensure_pki, twinline_home
from tools.processes import private_home
from tools.report.account import Account, account_tables, read_account
from tools.report.data import RunData, read_run
from tools.report.page import Facts, write_report
from tools.report.results import demo_document, goal_table, goals, result_table, score_run
from tools.report.saved import REPORT, RESULT, keep_scenario
from tools.rundir import RunDir
from tools.security import SecurityConfig, ensure_secrets
from tools.shift_script import Script, shift_script

__all__ = [
    "CONTROLLERS",
    "SELECTABLE",
    "SHIFTS",
    "DemoOrder",
    "Prepared",
    "default_parallel",
    "prepare",
    "run_demo",
]

CONTROLLERS = ("nmpc", "pid", "plc")  # what `all` runs
SELECTABLE = (*CONTROLLERS, "lmpc")
SHIFTS = {"default": "shift", "supervision": "supervision"}  # name -> scenario
_FAILURES = (RuntimeError, PersonRefused, HistoryError, OSError, ua.UaError)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrder:
    """What to run: controllers, length [min], seed, folder, where the configurations are.

    ``shift`` is one of `SHIFTS`.
    """

    controllers: tuple[str, ...]
    minutes: float
    seed: int
    run: RunDir
    configs: Path
    headless: bool
    parallel: int
    shift: str = "default"

    @property
    def line_file(self) -> Path:
        """Configuration of the line."""
        return self.configs / "lines" / "reference.yaml"

    @property
    def set_file(self) -> Path | None:
        """The product set that plant and controller have loaded, where the folder has it."""
        file = self.configs / "product_sets" / "reference_tablet.yaml"
        return file if file.is_file() else None

    @property
    def scenario_file(self) -> Path:
        """The script of the shift."""
        return self.configs / "scenarios" / f"{SHIFTS[self.shift]}.yaml"

    def controller_file(self, name: str) -> Path:
        """Configuration of a controller."""
        return self.configs / "controllers" / f"{name}.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An order with its configurations loaded."""

    order: DemoOrder
    line: ResolvedLine
    scenario: ScenarioConfig
    script: Script


def prepare(order: DemoOrder) -> Prepared:
    """Load every configuration. Raises `ConfigError`."""
    line, scenario = load_line(order.line_file), load_scenario(order.scenario_file)
    periods = {load_controller(order.controller_file(n)).period_s for n in order.controllers}
    if len(periods) > 1:
        raise ValueError(f"the controllers have different periods: {sorted(periods)} s")
    script = shift_script(scenario, order.minutes, periods.pop())
    return Prepared(order=order, line=line, scenario=scenario, script=script)


def run_demo(prepared: Prepared, console: Console) -> bool:
    """Run it and write ``result.json`` and ``report.html``; whether every run succeeded."""
    order, script = prepared.order, prepared.script
    order.run.log_to("demo")
    keep_scenario(order.run, prepared.scenario)
    began = time.monotonic()
    with private_home(order.run.path):
        party = ensure_pki(twinline_home())["operator"]
        runs = [
            ShiftRun(_run_order(prepared, name, party), Status(name, script.end))
            for name in order.controllers
        ]
        try:
            asyncio.run(_run_all(order, runs, console))
        finally:
            for run in runs:
                shutil.rmtree(run.order.run.secrets, ignore_errors=True)
    data: dict[str, RunData] = {}
    scores: dict[str, dict[str, Any]] = {}
    accounts: dict[str, Account] = {}
    failed: dict[str, str] = {}
    for run in runs:
        name, status = run.order.controller, run.status
        if status.phase is not Phase.FINISHED:
            failed[name] = status.error
            console.print(f"{name} failed: {status.error}", style="bold red", markup=False)
            continue
        data[name] = read_run(run.order.run.path, prepared.line, script.end)
        scores[name] = score_run(
            data[name],
            prepared.line,
            prepared.scenario,
            order.minutes,
            script.closed,
            script.period,
            status.wall_s,
        )
        scores[name]["closed_at_s"] = run.closed_at
        if order.shift != "default":
            accounts[name] = read_account(data[name], prepared.line, script.period)
            scores[name]["supervision"] = accounts[name].document()
    wall_s = time.monotonic() - began
    document = demo_document(order.controllers[0], scores, failed) | {
        "minutes": order.minutes,
        "seed": order.seed,
        "counted_from_s": script.closed,
        "wall_s": wall_s,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (order.run.path / RESULT).write_text(text + "\n", "utf-8")
    if scores:
        facts = Facts(minutes=order.minutes, seed=order.seed, closed=script.closed, wall_s=wall_s)
        report = order.run.path / REPORT
        write_report(report, prepared.line, prepared.scenario, facts, list(data.values()), scores)
        console.print(result_table(scores))
        if any(True for _ in goals(scores)):
            console.print(goal_table(scores))
        for name, account in accounts.items():
            console.print(f"\n[bold]{name}[/]")
            for table in account_tables(account, scores[name]["tablets"]):
                console.print(table)
        console.print(f"report: {report}", soft_wrap=True)
    return not failed


def _run_order(prepared: Prepared, name: str, party: Party) -> RunOrder:
    order = prepared.order
    folder = RunDir(order.run.path / name)
    folder.path.mkdir()
    ensure_secrets(folder.secrets, SecurityConfig())
    return RunOrder(
        controller=name,
        line_file=order.line_file,
        set_file=order.set_file,
        controller_file=order.controller_file(name),
        scenario_file=order.scenario_file,
        line=prepared.line,
        script=prepared.script,
        seed=order.seed,
        minutes=order.minutes,
        run=folder,
        party=party,
        deeds=deeds_of(
            prepared.scenario,
            signal_table(prepared.line.line),
            order.minutes,
            prepared.script.period,
        ),
    )


async def _run_all(order: DemoOrder, runs: Sequence[ShiftRun], console: Console) -> None:
    """All runs, a few at a time; signals end them in order."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    if me is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, me.cancel)
    places = asyncio.Semaphore(order.parallel)

    async def one(run: ShiftRun) -> None:
        async with places:
            try:
                await run.run()
            except _FAILURES as error:
                run.status.phase, run.status.error = Phase.FAILED, str(error)
                run.status.note(f"failed: {error}")

    async with show_progress(console, [r.status for r in runs], headless=order.headless):
        await asyncio.gather(*(one(run) for run in runs))


def default_parallel() -> int:
    """Runs at a time: each is two processes that take turns, so one core is enough for it."""
    return max(1, len(os.sched_getaffinity(0)))
