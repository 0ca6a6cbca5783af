"""`twinline demo --recording` as a user runs it: the shipped extract, two processes, no mocks."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from controller.records.historian import History, sqlite_url
from tools.cli import app
from tools.recordings.reader import read_recording

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("recording")]

EXTRACT = Path("examples") / "recordings" / "press_code5.csv.gz"
ROWS = 60  # 10 min


@dataclass(frozen=True)
class Demo:
    """A finished demo."""

    folder: Path
    code: int
    output: str
    result: dict[str, Any]


def command(folder: Path, *options: str | Path) -> list[str]:
    asked = ("--recording", EXTRACT, "--headless", "--run", folder, *options)
    return [sys.executable, "-m", "tools", "demo", *map(str, asked)]


@pytest.fixture(scope="module")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "run"
    file = folder.with_suffix(".json")
    done = subprocess.run(
        command(folder, "--minutes", "10", "--json", file),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return Demo(folder, done.returncode, done.stdout + done.stderr, result)


def test_it_succeeds_and_says_what_came_out(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    for text in ("batches 117", "60 s ahead", "Goals", "the same as in process", "report:"):
        assert text in demo.output


def test_the_result_has_the_promised_keys(demo: Demo) -> None:
    found = demo.result["recording"]
    ours, last, mean, linear = (
        found[key] for key in ("rmse_kN", "persistence_rmse_kN", "ewma_rmse_kN", "arx_rmse_kN")
    )
    assert 0.0 < ours < last and ours <= 1.01 * mean
    assert 0.0 < linear < last
    assert 0.92 <= found["coverage_95"] <= 0.98
    assert [b["batch"] for b in found["batches"]] == ["364", "365"]
    assert json.loads((demo.folder / "result.json").read_text("utf-8")) == demo.result


def test_the_link_thought_what_was_thought_in_process(demo: Demo, root: Path) -> None:
    link = demo.result["recording"]["link"]
    assert link["agrees"] and link["rows"] == ROWS and link["unmatched"] == 0
    assert link["largest_relative_difference"] == 0.0
    assert link["forecasts_compared"] > 0.9 * ROWS
    history = History(sqlite_url(demo.folder / "link" / "historian.sqlite"))
    records = [r for start in history.starts() for r in history.records(start)]
    history.close()
    time_ = read_recording(root / EXTRACT).recording.time[-ROWS:]
    seen = [r.time for r in records]
    assert [t for t in seen if t in set(time_.tolist())][:ROWS] == time_.tolist()
    assert {str(r.mode) for r in records} == {"MONITORING"}
    assert not any(r.command.frame for r in records)


def test_what_the_resumed_controller_recorded_can_be_replayed(demo: Demo) -> None:
    result = CliRunner().invoke(app, ["replay", str(demo.folder / "link")])
    assert result.exit_code == 0, result.output
    assert "exact" in result.output


def test_what_it_ran_with_passes_the_check(demo: Demo) -> None:
    result = CliRunner().invoke(app, ["check", str(demo.folder / "config")])
    assert result.exit_code == 0, result.output


def test_nothing_is_left_but_results(demo: Demo) -> None:
    left = {p.relative_to(demo.folder).as_posix() for p in demo.folder.rglob("*") if p.is_file()}
    assert {"result.json", "report.html", "forecasts.csv.gz", "link/historian.sqlite"} <= left
    assert not any("password" in name or name.endswith((".pem", ".key")) for name in left)
    assert not (demo.folder / "home").exists() and not (demo.folder / "link/secrets").exists()
    assert "Traceback" not in demo.output
    assert 1e6 < (demo.folder / "report.html").stat().st_size < 2e7


def test_an_interrupt_ends_everything_that_was_started(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command(folder, "--minutes", "500"),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline, children = time.monotonic() + 120.0, []
    while len(children) < 2 and time.monotonic() < deadline and process.poll() is None:
        children = psutil.Process(process.pid).children()
        time.sleep(0.1)
    assert len(children) == 2, process.communicate(timeout=60.0)[0]
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60.0)
    assert process.returncode == 130 and "everything that was started has been ended" in said
    _, alive = psutil.wait_procs(children, timeout=20.0)
    assert not alive
    assert not (folder / "home").exists() and not (folder / "link" / "secrets").exists()
