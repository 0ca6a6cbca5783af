"""`twinline demo` as a user runs it: processes, sockets, keys, database, report; nothing mocked."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.algorithms import make_brain
from controller.records.historian import History, sqlite_url
from hil.tally import read_tally
from plant_models.signal_list import signal_table
from tools.cli import app
from tools.configuration import load_controller, load_line, load_scenario
from tools.harness import run_shift
from tools.report.plots import library
from tools.shift_script import shift_script

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]

MINUTES, SEED, PERIOD = 5.0, 12, 5
CVS = ("potency", "tablet_weight", "tensile_strength", "throughput")
ZONES = ("main_compression_force", "chute_level", "tablet_thickness")


@dataclass(frozen=True)
class Demo:
    """A finished demo."""

    folder: Path
    output: str
    code: int
    result: dict[str, Any]


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tools", "demo", *map(str, arguments)]


def _demo(root: Path, folder: Path, *arguments: str) -> Demo:
    file = folder.parent / f"{folder.name}.json"
    options = ("--headless", "--seed", str(SEED), "--run", folder, "--json", file)
    done = subprocess.run(
        _command(*options, *arguments), cwd=root, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    result = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return Demo(folder, output, done.returncode, result)


@pytest.fixture(scope="module")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A short shift with the conventional controller and nothing else."""
    folder = tmp_path_factory.mktemp("demo") / "pid"
    return _demo(root, folder, "--minutes", f"{MINUTES:g}", "--controller", "pid")


def _cycles(demo: Demo, name: str) -> list[tuple[float, str]]:
    state = json.loads((demo.folder / name / "plant_state.json").read_text("utf-8"))
    history = History(sqlite_url(demo.folder / name / "historian.sqlite"))
    found = [(s.time - state["start_time"], s.mode) for s in history.summaries()]
    history.close()
    return found


def test_the_demo_succeeds_and_says_so(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    for text in ("plant killed", "plant is back", "Results", "report:"):
        assert text in demo.output


def test_the_result_has_the_promised_keys(demo: Demo) -> None:
    r = demo.result
    assert {"cycles", "overruns", "real_time_factor", "units"} <= r.keys()
    assert r["cycle_ms"].keys() == {"median", "p99"}
    counts = ("made", "rejected", "diverted", "released", "released_out_of_spec", "out_of_spec")
    assert {*counts, "floor", "excess"} <= r["tablets"].keys()
    for cv in CVS:
        assert {"iae_norm", "rmse", "time_out_of_spec_s"} <= r[cv].keys()
    for zone in ZONES:
        assert "time_outside_s" in r[zone]
    assert r["max_mv_rate_violation"] == 0.0
    assert 0.0 < r["bump_at_closing"] <= 0.25
    assert json.loads((demo.folder / "result.json").read_text("utf-8")) == r


def test_every_cycle_is_on_record_and_none_is_missing(demo: Demo) -> None:
    cycles = _cycles(demo, "pid")
    end = 60 * (15 + MINUTES)
    assert demo.result["cycles"] == sum(t <= end for t, _ in cycles)
    assert sorted({t for t, _ in cycles if t <= end}) == list(np.arange(0.0, end + 1.0, PERIOD))


def test_the_loop_is_closed_in_time_shed_by_the_kill_and_closed_again(
    demo: Demo, root: Path
) -> None:
    scenario = load_scenario(root / "configs" / "scenarios" / "shift.yaml")
    script = shift_script(scenario, MINUTES, PERIOD)
    assert script.kill is not None
    cycles = _cycles(demo, "pid")
    closed = [t for t, mode in cycles if mode == "CLOSED_LOOP"]
    assert closed[0] == script.closed == demo.result["counted_from_s"]
    assert demo.result["closed_at_s"] == script.closed
    before = [mode for t, mode in cycles if script.closed <= t < script.kill]
    assert set(before) == {"CLOSED_LOOP"}
    assert "SHED" in [mode for t, mode in cycles if t == script.kill]
    again = [t for t in closed if t > script.kill]
    assert again and again[-1] == script.end


def test_no_key_and_no_password_is_left(demo: Demo) -> None:
    names = [path.name for path in demo.folder.rglob("*")]
    assert not {"secrets", "home", "pki", "accounts.json"} & set(names)
    assert not [n for n in names if n.endswith((".pem", ".der", ".password"))]


class _Page(HTMLParser):
    """Tags that must be closed, and every address that the page would fetch."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.plots = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.plots += ("class", "plotly-graph-div") in attrs
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_page_that_fetches_nothing(demo: Demo) -> None:
    text = (demo.folder / "report.html").read_text("utf-8")
    assert text.count(library()) == 1  # the plotting library is inside, once
    own = text.replace(library(), "")
    page = _Page()
    page.feed(own)
    assert page.open == []
    assert page.addresses == []
    assert "@import" not in own and "fetch(" not in own
    assert page.plots == 4  # tablets, controlled variables, moves, states; pid estimates nothing
    for title in ("Tablet weight", "Tensile strength", "Potency", "Throughput", "Chute level"):
        assert title in own
    assert not re.search(r"\bnan\b", own.split("Plotly.newPlot")[0])
    assert 50_000 < len(own) < 3_000_000


def test_the_report_can_be_made_again_from_the_folder(demo: Demo, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    done = CliRunner().invoke(app, ["report", str(demo.folder), "--output", str(again)])
    assert done.exit_code == 0, done.output
    assert again.read_text("utf-8") == (demo.folder / "report.html").read_text("utf-8")


def test_the_link_changes_nothing(root: Path, tmp_path: Path) -> None:
    """With the PLC alone, all tablets are those of the shift in process until the plant dies."""
    demo = _demo(root, tmp_path / "plc", "--minutes", f"{MINUTES:g}", "--controller", "plc")
    assert demo.code == 0, demo.output
    line = load_line(root / "configs" / "lines" / "reference.yaml")
    scenario = load_scenario(root / "configs" / "scenarios" / "shift.yaml")
    config = load_controller(root / "configs" / "controllers" / "plc.yaml")
    brain = make_brain(config, line, signal_table(line.line), None)
    shift = run_shift(
        line=line, scenario=scenario, config=config, brain=brain, seed=SEED, minutes=MINUTES
    )
    kill = shift_script(scenario, MINUTES, PERIOD).kill
    assert kill is not None
    seconds, tablets, _ = read_tally(demo.folder / "plc")
    mine = shift.plant.tally
    assert seconds[:kill].tobytes() == mine.seconds()[:kill].tobytes()
    in_time = mine.tablets()["second"] < kill
    assert tablets[tablets["second"] < kill].tobytes() == mine.tablets()[in_time].tobytes()


@pytest.fixture
def started(root: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A demo whose plant and controller run, and their process ids."""
    process = subprocess.Popen(
        _command("--headless", "--controller", "pid", "--run", tmp_path / "run"),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    run, deadline = tmp_path / "run" / "pid", time.monotonic() + 120.0
    while not (run / "controller.json").is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    names = ("plant", "controller")
    yield process, {n: json.loads((run / f"{n}.json").read_text())["pid"] for n in names}
    process.kill()
    process.wait()


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_ends_every_process_and_leaves_no_secret(
    started: tuple[subprocess.Popen[str], dict[str, int]], tmp_path: Path
) -> None:
    process, pids = started
    key = next((tmp_path / "run" / "home").rglob("key.pem"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60.0)
    assert process.returncode == 130, output
    assert all(_gone(pid) for pid in pids.values())
    assert not list((tmp_path / "run").rglob("*.pem"))
    assert not list((tmp_path / "run").rglob("*.password"))


def test_a_run_that_fails_is_said_and_gives_exit_status_1(
    started: tuple[subprocess.Popen[str], dict[str, int]], tmp_path: Path
) -> None:
    process, pids = started
    os.kill(pids["controller"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60.0)
    assert process.returncode == 1, output
    assert "controller ended with -9" in output
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert "controller ended" in result["failed"]["pid"]
    assert "tablets" not in result
    assert all(_gone(pid) for pid in pids.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--controller", "fuzzy"], "fuzzy"),
        (["--configs", "nowhere"], "nowhere"),
        (["--minutes", "1"], "minutes"),
    ],
)
def test_bad_input_is_refused_with_exit_status_2(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    run = ["--run", str(tmp_path / "run")]
    done = CliRunner().invoke(app, ["demo", "--headless", *run, *arguments])
    assert done.exit_code == 2
    assert says in done.output
    assert not list(tmp_path.rglob("*.pem"))


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = CliRunner().invoke(app, ["demo", "--run", str(tmp_path)])
    assert done.exit_code == 2
    assert "is not empty" in " ".join(done.output.split())
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 2


@pytest.mark.slow
def test_all_three_controllers_run_their_shift(root: Path, tmp_path: Path) -> None:
    demo = _demo(root, tmp_path / "all", "--minutes", "10")
    assert demo.code == 0, demo.output
    for run in (demo.result, demo.result["pid"], demo.result["plc"]):
        assert run["tablets"]["released"] > 0
        assert run["overruns"] == 0
        assert run["real_time_factor"] > 1.0
        assert run["max_mv_rate_violation"] == 0.0
    for cv in CVS:
        found = demo.result["mhe"][cv]
        assert {"rmse", "coverage_95", "half_width", "sharpness"} <= found.keys()
    tablets = demo.result["tablets"]
    assert tablets["released_out_of_spec"] <= tablets["floor"] + 15
    ends = {name: _cycles(demo, name)[-1] for name in ("nmpc", "pid", "plc")}
    assert {name: mode for name, (_, mode) in ends.items()} == {
        "nmpc": "CLOSED_LOOP",
        "pid": "CLOSED_LOOP",
        "plc": "MONITORING",
    }
