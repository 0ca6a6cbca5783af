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
from plant_models.line import ResolvedLine
from tools.configuration import load_controller, load_line, load_scenario
from tools.demo.progress import show_progress
from tools.demo.script import Script, shift_script
from tools.demo.shift_run import RunOrder, ShiftRun
from tools.demo.status import Phase, Status
from tools.people import PersonRefused
from tools.pki import Party, ensure_pki, twinline_home
from tools.processes import private_home
from tools.report.data import RunData, read_run
from tools.report.page import Facts, write_report
from tools.report.results import demo_document, goal_table, result_table, score_run
from tools.report.saved import REPORT, RESULT, keep_scenario
from tools.rundir import RunDir
from tools.security import SecurityConfig, ensure_secrets

__all__ = ["CONTROLLERS", "DemoOrder", "run_demo"]

CONTROLLERS = ("nmpc", "pid", "plc")
_FAILURES = (RuntimeError, PersonRefused, HistoryError, OSError, ua.UaError)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrder:
    """What to run: controllers, length [min], seed, folder, where the configurations are."""

    controllers: tuple[str, ...]
    minutes: float
    seed: int
    run: RunDir
    configs: Path
    headless: bool
    parallel: int

    @property
    def line_file(self) -> Path:
        """Configuration of the line."""
        return self.configs / "lines" / "reference.yaml"

    @property
    def scenario_file(self) -> Path:
        """The script of the shift."""
        return self.configs / "scenarios" / "shift.yaml"

    def controller_file(self, name: str) -> Path:
        """Configuration of a controller."""
        return self.configs / "controllers" / f"{name}.yaml"


@dataclass(slots=True)
class _Outcome:
    """One run: where it is, what it left."""

    run: ShiftRun
    data: RunData | None = None
    scores: dict[str, Any] | None = None


def run_demo(order: DemoOrder, console: Console) -> bool:
    """Run it and write ``result.json`` and ``report.html``; whether every run succeeded."""
    line, scenario = load_line(order.line_file), load_scenario(order.scenario_file)
    period = load_controller(order.controller_file(order.controllers[0])).period_s
    script = shift_script(scenario, order.minutes, period)
    order.run.log_to("demo")
    keep_scenario(order.run, scenario)
    began = time.monotonic()
    with private_home(order.run.path):
        party = ensure_pki(twinline_home())["operator"]
        runs = [
            ShiftRun(_run_order(order, name, line, script, party), Status(name, script.end))
            for name in order.controllers
        ]
        try:
            asyncio.run(_run_all(order, runs, console))
        finally:
            for run in runs:
                shutil.rmtree(run.order.run.secrets, ignore_errors=True)
    outcomes = [_Outcome(run) for run in runs]
    for outcome in outcomes:
        status = outcome.run.status
        if status.phase is Phase.FINISHED:
            data = read_run(outcome.run.order.run.path, line, script.end)
            outcome.data = data
            outcome.scores = score_run(
                data, line, scenario, order.minutes, script.closed, period, status.wall_s
            )
            outcome.scores["closed_at_s"] = outcome.run.closed_at
        else:
            console.print(f"{status.controller} failed: {status.error}", style="bold red")
    done = {o.run.order.controller: o for o in outcomes if o.scores is not None}
    scores = {name: o.scores for name, o in done.items() if o.scores is not None}
    if scores:
        document = demo_document(scores)
        wall_s = time.monotonic() - began
        document |= {
            "minutes": order.minutes,
            "seed": order.seed,
            "counted_from_s": script.closed,
            "wall_s": wall_s,
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (order.run.path / RESULT).write_text(text + "\n", "utf-8")
        facts = Facts(minutes=order.minutes, seed=order.seed, closed=script.closed, wall_s=wall_s)
        runs_read = [o.data for o in done.values() if o.data is not None]
        write_report(order.run.path / REPORT, line, scenario, facts, runs_read, scores)
        console.print(result_table(scores))
        console.print(goal_table(scores))
        console.print(f"report: {order.run.path / REPORT}", soft_wrap=True)
    return len(scores) == len(outcomes)


def _run_order(
    order: DemoOrder, name: str, line: ResolvedLine, script: Script, party: Party
) -> RunOrder:
    folder = RunDir(order.run.path / name)
    folder.path.mkdir()
    ensure_secrets(folder.secrets, SecurityConfig())
    return RunOrder(
        controller=name,
        line_file=order.line_file,
        controller_file=order.controller_file(name),
        scenario_file=order.scenario_file,
        line=line,
        script=script,
        seed=order.seed,
        minutes=order.minutes,
        run=folder,
        party=party,
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
