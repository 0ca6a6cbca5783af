"""What a demo leaves in its folder beside the runs, and making the report from it again."""

from __future__ import annotations

import json
from pathlib import Path

from controller.records.historian import History, sqlite_url
from controller.records.replay import recorded_line
from hil.config import ScenarioConfig
from tools.report.data import read_run
from tools.report.page import Facts, write_report
from tools.rundir import RunDir

__all__ = ["REPORT", "RESULT", "keep_scenario", "report_again"]

RESULT, REPORT = "result.json", "report.html"
_SCENARIO = "scenario.json"


def keep_scenario(run: RunDir, scenario: ScenarioConfig) -> None:
    """Keep the scenario in ``config/``, whole."""
    folder = run.path / "config"
    folder.mkdir(parents=True, exist_ok=True)
    text = scenario.model_dump_json(by_alias=True, indent=1)
    (folder / _SCENARIO).write_text(text, "utf-8")


def report_again(folder: Path, target: Path) -> None:
    """Write the report of a finished demo from its folder alone.

    Raises ``FileNotFoundError`` or ``KeyError`` if the folder is not that of a finished demo.
    """
    document = json.loads((folder / RESULT).read_text("utf-8"))
    if "recording" in document:
        raise ValueError("the demo of a recording writes its report once; run the demo again")
    scenario = ScenarioConfig.model_validate_json(
        (folder / "config" / _SCENARIO).read_text("utf-8")
    )
    first = str(document["controller"])
    runs_at = {first: document} if "cycles" in document else {}
    runs_at |= {n: document[n] for n in ("nmpc", "lmpc", "pid", "plc") if n in document}
    names = list(runs_at)
    history = History(sqlite_url(RunDir(folder / names[0]).historian))
    try:
        line = recorded_line(history.facts(history.starts()[-1]))
    finally:
        history.close()
    end = scenario.total_seconds(document["minutes"])
    runs = [read_run(folder / name, line, end) for name in names]
    facts = Facts(
        minutes=document["minutes"],
        seed=document["seed"],
        closed=document["counted_from_s"],
        wall_s=document["wall_s"],
    )
    write_report(target, line, scenario, facts, runs, runs_at)
