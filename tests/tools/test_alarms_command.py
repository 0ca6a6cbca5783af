"""`twinline alarms`: list, journal and statistics of a run that is on record."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.alarms.entries import ENTRIES
from controller.alarms.ids import Id
from controller.records.historian import Historian, sqlite_url
from plant_models.signals import PLC
from tests.controller.kit import Loop
from tests.tools.test_advice_command import ShamDesk, desk, secret
from tools.alarm_journal import read_journal
from tools.cli import app

__all__ = ["desk", "secret"]  # fixtures


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the line was held and then an interlock shed control."""
    folder = tmp_path_factory.mktemp("run")
    loop = Loop()
    historian = Historian(sqlite_url(folder / "historian.sqlite"), loop.setup, loop.state)
    loop.close()
    loop.cycles(30)
    loop.plant.values[PLC.LINE_STATE] = "held"
    loop.cycles(3)
    loop.plant.values[PLC.LINE_STATE] = "running"
    loop.cycles(3)
    loop.plant.values[PLC.PERMIT] = False
    loop.cycles(3)
    for output in loop.outputs:
        historian.append(output)
    historian.close()
    return folder


def _json(*arguments: object) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["alarms", *map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.output)


def test_the_list_is_shown_and_is_data() -> None:
    code, rows = _json("list")
    assert code == 0 and [r["id"] for r in rows] == [d.id for d in ENTRIES]
    shown = CliRunner().invoke(app, ["alarms", "list"])
    assert shown.exit_code == 0 and "control was shed" in " ".join(shown.output.split())


def test_the_journal_is_what_happened(run: Path) -> None:
    code, rows = _json("journal", run)
    assert code == 0
    assert [r["number"] for r in rows] == list(range(1, len(rows) + 1))
    called = [r["alarm"] for r in rows if r["annunciated"]]
    assert called == [Id.SHED, Id.INTERLOCK] or called == [Id.INTERLOCK, Id.SHED]
    assert [r["kind"] for r in rows if r["alarm"] == Id.SUSPENDED] == ["raised", "cleared"]
    assert sum(r["first_out"] for r in rows) == 1
    shown = CliRunner().invoke(app, ["alarms", "journal", str(run / "historian.sqlite")])
    assert shown.exit_code == 0 and "(first)" in shown.output


def test_the_statistics_of_the_run(run: Path) -> None:
    code, found = _json("statistics", run)
    figures = {f["name"]: f for f in found["figures"]}
    assert figures["most alarms in any 10 min"]["value"] == 2
    assert figures["chattering alarms"]["good"] is True
    assert figures["most alarms in the first 10 min of a major upset"]["value"] == 2
    assert [u["alarms_in_10_min"] for u in found["upsets"]] == [2]
    assert code == any(f["good"] is False for f in found["figures"])
    assert sorted(found["top"]) == sorted([[Id.SHED, 1], [Id.INTERLOCK, 1]])
    shown = CliRunner().invoke(app, ["alarms", "statistics", str(run)])
    assert shown.exit_code == code and "about 6, at most 12" in shown.output


def test_until_a_time(run: Path) -> None:
    whole = read_journal(run / "historian.sqlite")
    part = read_journal(run / "historian.sqlite", whole.end - 20.0)
    assert part.end == whole.end - 20.0
    assert part.events == tuple(e for e in whole.events if e.time <= part.end) != whole.events


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["acknowledge"], "Acknowledge"),
        (["unshelve"], "Unshelve"),
        (["out-of-service"], "TakeOutOfService"),
        (["in-service"], "ReturnToService"),
        (["shelve", "--minutes", "30"], "Shelve"),
    ],
)
def test_what_people_do_is_a_call_of_the_controllers_method(
    desk: ShamDesk, secret: Path, words: list[str], called: str
) -> None:
    options = ["--user", "sue", "--reason", "seen it", "--password-file", str(secret)]
    done = CliRunner().invoke(app, ["alarms", *words, "mv-local.ApiRatio", *options])
    assert done.exit_code == 0 and "as the controller says" in done.output
    ((method, alarm, *rest),) = desk.calls
    assert method == f"Controller/{called}"
    assert alarm == ("String", "mv-local.ApiRatio") and rest[-1] == ("String", "seen it")
    assert rest[:-1] == ([("Double", 30.0)] if called == "Shelve" else [])
    object.__setattr__(desk, "accepts", False)
    assert CliRunner().invoke(app, ["alarms", *words, "a", *options]).exit_code == 1


def test_alarms_now(desk: ShamDesk, secret: Path) -> None:
    options = ["--user", "sue", "--password-file", str(secret)]
    assert "no alarm" in CliRunner().invoke(app, ["alarms", "show", *options]).output
    desk.values["Controller/Alarms/List"] = ["control-shed: unacknowledged; [no] heartbeat"]
    shown = CliRunner().invoke(app, ["alarms", "show", *options])
    assert shown.exit_code == 0 and "[no] heartbeat" in shown.output


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    for command in ("journal", "statistics"):
        done = CliRunner().invoke(app, ["alarms", command, str(tmp_path)])
        assert done.exit_code == 2
        assert "does not exist" in done.output
