"""Findings: each fault of the values is told for what it is."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tools.recordings.findings import Finding, duration_text
from tools.recordings.reader import LoadedRecording, read_recording
from tools.recordings.table import channels_table, findings_table, summary, summary_lines

RATE, FOM, FORCE, FILL, RSD, PRE, MADE, WASTE, BAND = 4, 5, 6, 7, 8, 9, 10, 11, 12


@pytest.fixture
def changed(extract: list[str], tmp_path: Path) -> Callable[..., LoadedRecording]:
    """Reads 900 running rows of one batch with each row's cells changed."""

    def read(change: Callable[[int, list[str]], None]) -> LoadedRecording:
        rows = [line.rstrip("\n").split(";") for line in extract[5101:6001]]
        for i, row in enumerate(rows):
            change(i, row)
        file = tmp_path / "press.csv"
        file.write_text("".join([extract[0], *(";".join(r) + "\n" for r in rows)]), "utf-8")
        return read_recording(file)

    return read


def _only(loaded: LoadedRecording, kind: str, channel: str) -> Finding:
    (found,) = (f for f in loaded.findings if (f.kind, f.channel) == (kind, channel))
    return found


def test_a_force_that_does_not_change_is_frozen(
    changed: Callable[..., LoadedRecording],
) -> None:
    def hold(i: int, row: list[str]) -> None:
        if 400 <= i < 440:
            row[FORCE] = "5.9"

    finding = _only(changed(hold), "frozen", "main_force")
    assert 38 <= finding.rows <= 42
    assert "for 6 min at most" in finding.text


def test_a_force_that_stays_for_four_minutes_is_not(
    changed: Callable[..., LoadedRecording],
) -> None:
    def hold(i: int, row: list[str]) -> None:
        if 400 <= i < 424:
            row[FORCE] = "5.9"

    assert not [f for f in changed(hold).findings if f.kind == "frozen"]


def test_a_force_that_is_recorded_coarsely_is_not_frozen(
    changed: Callable[..., LoadedRecording],
) -> None:
    def coarse(_: int, row: list[str]) -> None:
        row[FORCE] = str(round(float(row[FORCE])))

    loaded = changed(coarse)
    assert not [f for f in loaded.findings if f.kind == "frozen"]
    assert _only(loaded, "quantised", "main_force").text == "steps of 1 kN"


def test_a_counter_that_stands_while_tablets_are_made_is_frozen(
    changed: Callable[..., LoadedRecording],
) -> None:
    def stand(_: int, row: list[str]) -> None:
        row[MADE] = "60" if 60 < int(row[MADE]) < 200 else row[MADE]

    loaded = changed(stand)
    finding = _only(loaded, "frozen", "made")
    assert "stands at up to 60 1000 tablets while tablets are made" in finding.text
    assert "main_force" in loaded.recording.channels


def test_a_counter_set_back_within_a_batch_is_said(
    changed: Callable[..., LoadedRecording],
) -> None:
    def set_back(i: int, row: list[str]) -> None:
        row[WASTE] = "3" if i > 500 else row[WASTE]

    finding = _only(changed(set_back), "impossible", "rejected")
    assert (finding.rows, finding.severity) == (1, "warning")


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_counter_in_another_unit_is_left_out(
    changed: Callable[..., LoadedRecording], factor: float
) -> None:
    def scale(_: int, row: list[str]) -> None:
        row[MADE] = f"{float(row[MADE]) * factor:g}"

    loaded = changed(scale)
    assert "one of the two units is wrong" in _only(loaded, "mislabelled", "made").text
    assert "made" not in loaded.recording.channels


def test_two_optional_columns_that_are_copies_are_both_left_out(
    changed: Callable[..., LoadedRecording],
) -> None:
    def copy(_: int, row: list[str]) -> None:
        row[WASTE] = row[RSD]

    loaded = changed(copy)
    assert {f.channel for f in loaded.findings if "is a copy of" in f.text} >= {
        "force_rsd",
        "rejected",
    }
    assert {"force_rsd", "rejected"}.isdisjoint(loaded.recording.channels)


def test_pre_compression_of_nothing_is_a_dead_sensor_or_none(
    changed: Callable[..., LoadedRecording],
) -> None:
    def little(i: int, row: list[str]) -> None:
        row[PRE] = "0.1" if i % 50 == 0 else "0.0"

    finding = _only(changed(little), "dead", "pre_force")
    assert (finding.severity, finding.action) == ("warning", "kept")

    def much(_: int, row: list[str]) -> None:
        row[PRE] = "2.3" if float(row[RATE]) else row[PRE]

    assert not [f for f in changed(much).findings if f.kind == "dead"]


def test_an_infinite_number_and_a_negative_speed_are_impossible(
    changed: Callable[..., LoadedRecording],
) -> None:
    def spoil(i: int, row: list[str]) -> None:
        if i == 100:
            row[RATE] = "-1"
        if i == 200:
            row[RSD] = "inf"

    loaded = changed(spoil)
    assert _only(loaded, "impossible", "tablet_rate").first_row == 102
    assert _only(loaded, "impossible", "force_rsd").first_row == 202


def test_findings_as_data_keep_their_keys(changed: Callable[..., LoadedRecording]) -> None:
    loaded = changed(lambda i, row: None)
    data = json.loads(json.dumps(summary(loaded)))
    assert set(data) == {
        "name",
        "code",
        "rows",
        "period_s",
        "start_utc_s",
        "end_utc_s",
        "running_share",
        "batches",
        "channels",
        "tooling",
        "findings",
    }
    assert data["batches"] == [{"name": "354", "rows": 900}]
    names = {field.name for field in dataclasses.fields(Finding)}
    assert all(set(finding) == names for finding in data["findings"])


def test_the_table_shows_the_gravest_first_within_a_narrow_window(root: Path) -> None:
    loaded = read_recording(root / "examples/recordings/press_code3.csv.gz")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(findings_table(loaded.findings))
    console.print(channels_table(loaded.recording))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.index("mislabelled") < text.index("dead") < text.index("quantised")
    assert "left out" in text
    assert summary_lines(loaded)[0] == (
        "product code 3: 6000 rows every 10 s, 81% running, 6 batches"
    )


def test_lengths_of_time_are_told_in_the_unit_that_suits() -> None:
    assert [duration_text(s) for s in (40.0, 600.0, 90_000.0, 1e6)] == [
        "40 s",
        "10 min",
        "25 h",
        "12 d",
    ]
