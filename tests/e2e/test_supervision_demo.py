"""`twinline demo --shift supervision`: a stop, a set point in local, a lost NIR, over OPC UA."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controller.alarms.ids import Id
from plant_models.signals import MV

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]

MINUTES = 8


@pytest.fixture(scope="module")
def shift(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and output of a short shift."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-m", "tools", "demo", "--headless", "--shift", "supervision"]
    options = ["--minutes", str(MINUTES), "--seed", "1", "--run", str(folder)]
    done = subprocess.run(
        [*command, *options], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def result(shift: tuple[Path, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shift[0] / "result.json").read_text("utf-8"))
    return found


def test_the_loop_is_suspended_by_the_stop_and_resumes_by_itself(result: dict[str, Any]) -> None:
    states = [s["state"] for s in result["supervision"]["timeline"]]
    assert states[-4:] == ["ADVISORY", "CLOSED_LOOP", "CLOSED_LOOP, suspended", "CLOSED_LOOP"]
    assert result["supervision"]["sheds"] == 0
    suspended = result["supervision"]["timeline"][-2]
    assert 30 <= suspended["end"] - suspended["begin"] <= 180


def test_no_transfer_bumps(result: dict[str, Any]) -> None:
    closed, resumed, returned = result["supervision"]["transfers"]
    assert closed["tags"] == resumed["tags"] and MV.THICKNESS in closed["tags"]
    assert returned["tags"] == [MV.API_RATIO]
    for transfer in (closed, resumed, returned):
        assert transfer["first"] <= 0.25
        assert transfer["bump"] <= 1.0 + 1e-9
    assert result["max_mv_rate_violation"] == 0.0


def test_the_lost_nir_is_an_alarm_that_goes_when_it_has_been_believed_again(
    result: dict[str, Any],
) -> None:
    told = [(e["alarm"], e["kind"]) for e in result["supervision"]["alarms"]]
    nir = f"{Id.LOST}.nir"
    assert (nir, "raised") in told and (nir, "cleared") in told
    raised = [e for e in result["supervision"]["alarms"] if e["annunciated"]]
    assert {e["alarm"] for e in raised} <= {nir, f"{Id.DOUBTFUL}.nir"}
    assert raised[0]["first_out"]


def test_nothing_bad_is_released(result: dict[str, Any]) -> None:
    tablets = result["tablets"]
    assert tablets["released"] > 1000
    assert tablets["released_out_of_spec"] <= tablets["floor"] + 15


def test_people_see_what_they_did_and_what_came_of_it(shift: tuple[Path, str]) -> None:
    folder, output = shift
    for text in (
        "line: hold: done",
        "line: restart: done",
        f"{MV.API_RATIO} in local: done",
        f"{MV.API_RATIO} given back: done",
        "nir: lost",
        "What happened",
        "CLOSED_LOOP, suspended",
        "Transfers",
        "Alarm load",
        "sheds, and the mode at the end",
    ):
        assert text in output
    page = (folder / "report.html").read_text("utf-8")
    assert "Supervision<small>nmpc" in page and "NIR lost" in page
    assert "a line that is held, a set point in local and a lost instrument" in page
