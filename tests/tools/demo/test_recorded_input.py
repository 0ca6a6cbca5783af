"""What the demo of a recording refuses: exit status 2 and words, never a traceback."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli import app


def refused(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["demo", "--headless", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    return " ".join(result.output.split())


@pytest.fixture(autouse=True)
def _in_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_one_batch_leaves_nothing_to_score(minutes_of_press: Path, run: Path) -> None:
    lines = minutes_of_press.read_text("utf-8").splitlines(keepends=True)
    file = run.parent / "one.csv"
    file.write_text("".join(lines[:361]), "utf-8")
    said = refused("--recording", file, "--run", run)
    assert "one batch, 117" in said and "at least two batches" in said


def test_a_recording_that_is_not_there(run: Path) -> None:
    assert "the file cannot be read" in refused("--recording", "nowhere.csv", "--run", run)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("nowhere.yaml", "the file cannot be read"),
        ("configs/lines/reference.yaml", "this is a line"),
    ],
)
def test_a_mapping_that_is_none(mapping: str, said: str, minutes_of_press: Path, run: Path) -> None:
    assert said in refused("--recording", minutes_of_press, "--mapping", mapping, "--run", run)


def test_a_spacing_that_gives_no_60_s_horizon(minutes_of_press: Path, run: Path) -> None:
    lines = minutes_of_press.read_text("utf-8").splitlines(keepends=True)
    file, mapping = run.parent / "sparse.csv", run.parent / "sparse.yaml"
    file.write_text("".join([lines[0], *lines[1::4]]), "utf-8")
    mapping.write_text("kind: recording\nschema: 1\nperiod_s: 40\n", "utf-8")
    said = refused("--recording", file, "--mapping", mapping, "--run", run)
    assert "a row every 40 s" in said and "Resample it" in said


def test_a_press_that_never_runs(minutes_of_press: Path, run: Path) -> None:
    header, *rows = minutes_of_press.read_text("utf-8").splitlines()
    at = header.split(";").index("tbl_speed")
    stopped = [row.split(";") for row in rows]
    for cells in stopped:
        cells[at] = "0"
    file = run.parent / "stopped.csv"
    file.write_text("\n".join([header, *map(";".join, stopped), ""]), "utf-8")
    said = refused("--recording", file, "--run", run)
    assert "every number is zero" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seed", "2"), "--seed: not with --recording"),
        (("--controller", "pid"), "--controller: not with --recording"),
    ],
)
def test_options_of_the_simulated_shift(
    options: tuple[str, ...], said: str, minutes_of_press: Path, run: Path
) -> None:
    assert said in refused("--recording", minutes_of_press, "--run", run, *options)


@pytest.mark.parametrize("options", [("--law", "heckel"), ("--mapping", "m.yaml")])
def test_options_of_a_recording_without_one(options: tuple[str, str], run: Path) -> None:
    assert f"{options[0]}: only with --recording FILE" in refused("--run", run, *options)


def test_a_folder_that_holds_something_else(minutes_of_press: Path, run: Path) -> None:
    run.mkdir()
    (run / "mine.txt").write_text("mine", "utf-8")
    assert "is not empty" in refused("--recording", minutes_of_press, "--run", run)


def test_its_report_is_not_made_again(run: Path) -> None:
    run.mkdir()
    (run / "result.json").write_text('{"recording": {}}', "utf-8")
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 2
    assert "run the demo again" in " ".join(result.output.split())
