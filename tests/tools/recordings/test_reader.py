"""Reading a recorded press: SI, missing is missing, foreign formats by a mapping."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tools.recordings.mapping import (
    ChannelColumn,
    ChannelColumns,
    ChecksConfig,
    RecordingMapping,
    TimeColumn,
)
from tools.recordings.reader import LoadedRecording, RecordingError, read_recording


@pytest.fixture(scope="module")
def code3(root: Path) -> LoadedRecording:
    return read_recording(root / "examples/recordings/press_code3.csv.gz")


@pytest.fixture(scope="module")
def code5(root: Path) -> LoadedRecording:
    return read_recording(root / "examples/recordings/press_code5.csv.gz")


def test_numbers_are_in_si(code5: LoadedRecording) -> None:
    recording = code5.recording
    assert (recording.name, recording.code, recording.period_s) == ("press_code5", "5", 10.0)
    running = recording.running()
    median = {
        name: float(np.nanmedian(values[running])) for name, values in recording.channels.items()
    }
    assert median["tablet_rate"] == pytest.approx(120_000 / 3600)
    assert median["main_force"] == pytest.approx(7100.0, rel=0.02)
    assert median["fill_depth"] == pytest.approx(3.66e-3, rel=0.01)
    assert median["thickness"] == pytest.approx(0.78e-3, rel=0.01)
    assert median["paddle_speed"] == pytest.approx(1.0)
    assert median["force_rsd"] == pytest.approx(0.051, rel=0.05)
    assert median["made"] > 1e6
    assert code5.tooling.diameter == pytest.approx(7e-3)
    assert code5.tooling.known


def test_rows_keep_their_batches_and_times(code3: LoadedRecording, extract: list[str]) -> None:
    recording = code3.recording
    assert recording.size == len(extract) - 1 == 6000
    assert recording.batches() == ("19", "60", "165", "167", "327", "354")
    first = datetime.fromisoformat(extract[1][:19]).replace(tzinfo=UTC)
    assert recording.time[0] == first.timestamp()
    assert (np.diff(recording.time) > 0.0).all()
    fitted, scored = recording.split()
    assert (fitted, scored) == (("19", "60", "165"), ("167", "327", "354"))


def test_a_column_that_is_not_what_its_name_says_is_left_out(code3: LoadedRecording) -> None:
    assert "paddle_speed" not in code3.recording.channels
    (finding,) = (f for f in code3.findings if f.kind == "mislabelled")
    assert (finding.channel, finding.severity) == ("paddle_speed", "error")
    assert "'fom' is a copy of 'tbl_fill'" in finding.text
    assert finding.share == 1.0


def test_a_recorder_that_hung_is_not_taken_for_a_steady_press(code3: LoadedRecording) -> None:
    """Speed and band went on; force, fill and counters stood still for 25 min."""
    (finding,) = (f for f in code3.findings if f.kind == "frozen")
    assert finding.rows == 150
    rows = slice(finding.first_row - 2, finding.last_row - 1)  # type: ignore[operator]
    channels = code3.recording.channels
    assert np.isnan(channels["main_force"][rows]).all()
    assert np.isnan(channels["made"][rows]).all()
    assert (channels["tablet_rate"][rows] > 0.0).all()
    assert not np.isnan(channels["thickness"][rows]).any()


def test_nothing_is_filled_in(code5: LoadedRecording) -> None:
    (finding,) = (f for f in code5.findings if f.kind == "missing")
    assert (finding.rows, finding.channel) == (13, "")
    for values in code5.recording.channels.values():
        assert np.flatnonzero(np.isnan(values)).size == 13


def test_values_held_while_the_press_stands_are_said_to_be(code5: LoadedRecording) -> None:
    held = {f.channel: f for f in code5.findings if f.kind == "held"}
    assert {"main_force", "fill_depth"} <= set(held)
    (standing,) = (f for f in code5.findings if f.kind == "standing")
    assert "33 stops" in standing.text
    assert held["main_force"].rows <= standing.rows


def test_resolution_is_told(code3: LoadedRecording) -> None:
    steps = {f.channel: f.text for f in code3.findings if f.kind == "quantised"}
    assert steps["main_force"] == "steps of 0.1 kN"
    assert steps["fill_depth"] == "steps of 0.01 mm"


def test_series_cannot_be_changed(code3: LoadedRecording) -> None:
    with pytest.raises(ValueError, match="read-only"):
        code3.recording.channels["main_force"][0] = 1.0


def _foreign(small: list[str]) -> str:
    """The same rows as another press would write them."""
    lines = ["Zeit\tCharge\tTabletten je h\tHauptdruck N\tFülltiefe µm\tSteghöhe µm"]
    for row in small[1:]:
        cell = row.rstrip("\n").split(";")
        moment = datetime.fromisoformat(cell[0])
        numbers = (f"{float(cell[i]) * 1e3:.2f}".replace(".", ",") for i in (4, 6, 7, 12))
        lines.append(f'{moment:%d.%m.%Y %H:%M:%S}\t"Ch-{cell[2]}"\t' + "\t".join(numbers))
    return "\r\n".join([*lines, ""])


FOREIGN = RecordingMapping(
    separator="\t",
    decimal=",",
    encoding="cp1252",
    time=TimeColumn(column="Zeit", format="%d.%m.%Y %H:%M:%S", zone="Europe/Ljubljana"),
    batch="Charge",
    code=None,
    product="3",
    channels=ChannelColumns(
        tablet_rate=ChannelColumn(column="Tabletten je h", unit="tablets/h"),
        main_force=ChannelColumn(column="Hauptdruck N", unit="N"),
        fill_depth=ChannelColumn(column="Fülltiefe µm", unit="µm"),
        thickness=ChannelColumn(column="Steghöhe µm", unit="µm"),
        paddle_speed=None,
        force_rsd=None,
        pre_force=None,
        made=None,
        rejected=None,
        pre_thickness=None,
        stiffness=None,
        ejection_force=None,
    ),
)


def test_another_press_is_read_by_its_mapping(small: list[str], tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    ours.write_text("".join(small), "utf-8")
    theirs.write_text(_foreign(small), "cp1252", newline="")
    a, b = read_recording(ours).recording, read_recording(theirs, FOREIGN).recording
    assert b.code == "3"
    assert b.batches() == tuple(f"Ch-{name}" for name in a.batches())
    winter, summer = a.time[:200] - 3600.0, a.time[200:] - 7200.0
    assert b.time.tolist() == [*winter, *summer]
    assert set(b.channels) == {"tablet_rate", "main_force", "fill_depth", "thickness"}
    for name, values in b.channels.items():
        assert values == pytest.approx(a.channels[name], nan_ok=True)


def test_comma_decimals_are_read_where_the_mapping_says_so(
    small: list[str], tmp_path: Path
) -> None:
    plain, comma = tmp_path / "plain.csv", tmp_path / "comma.csv"
    plain.write_text("".join(small), "utf-8")
    comma.write_text("".join(small).replace(".", ","), "utf-8")
    a = read_recording(plain).recording
    b = read_recording(comma, RecordingMapping(decimal=",")).recording
    assert b.channels["main_force"] == pytest.approx(a.channels["main_force"], nan_ok=True)


def test_utf_16_is_read_where_the_mapping_says_so(small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_bytes("".join(small).encode("utf-16"))
    assert read_recording(file, RecordingMapping(encoding="utf-16")).recording.size == 400


def test_an_hour_that_the_clock_shows_twice_is_told_by_the_order(
    small: list[str], tmp_path: Path
) -> None:
    """Rows over the end of summer time, local clock: 02:00 to 03:00 comes twice."""
    rows = []
    start = datetime(2019, 10, 27, 0, 30, tzinfo=UTC).timestamp()
    zone = TimeColumn(zone="Europe/Ljubljana")

    for i, row in enumerate(small[1:]):
        local = datetime.fromtimestamp(start + 10.0 * i, ZoneInfo("Europe/Ljubljana"))
        rows.append(f"{local:%Y-%m-%d %H:%M:%S}" + row[19:])
    file = tmp_path / "autumn.csv"
    file.write_text("".join([small[0], *rows]), "utf-8")
    recording = read_recording(file, RecordingMapping(time=zone)).recording
    assert recording.time == pytest.approx(start + 10.0 * np.arange(400))


def test_seconds_since_1970_are_times_too(small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "unix.csv"
    rows = [f"{1.5e9 + 10 * i:.1f}" + row[19:] for i, row in enumerate(small[1:])]
    file.write_text("".join([small[0], *rows]), "utf-8")
    recording = read_recording(file, RecordingMapping(time=TimeColumn(format="unix"))).recording
    assert recording.time[[0, -1]] == pytest.approx([1.5e9, 1.5e9 + 3990.0])


def test_one_product_is_read_from_a_file_of_several(small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "two.csv"
    other = [row.replace(";165;3;", ";165;5;") for row in small[201:]]
    assert other != small[201:]
    file.write_text("".join([*small[:201], *other]), "utf-8")
    with pytest.raises(RecordingError, match="codes of several products"):
        read_recording(file)
    loaded = read_recording(file, RecordingMapping(product="3"))
    assert (loaded.recording.code, loaded.recording.size) == ("3", 200)
    with pytest.raises(RecordingError, match="no row of product code 9; found"):
        read_recording(file, RecordingMapping(product="9"))


def test_more_rows_than_allowed_are_refused(small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "long.csv.gz"
    file.write_bytes(gzip.compress("".join(small).encode()))
    with pytest.raises(RecordingError, match="more than 300 rows"):
        read_recording(file, RecordingMapping(checks=ChecksConfig(rows_max=300)))
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(small[0].encode() + b"\n" * 400))
    with pytest.raises(RecordingError, match="more than 300 rows"):
        read_recording(bomb, RecordingMapping(checks=ChecksConfig(rows_max=300)))


def test_whole_numbers_with_a_fraction_are_the_same_names(small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "floats.csv"
    rows = [row.replace(";60;3;", ";60.0;3.0;") for row in small[1:201]]
    file.write_text("".join([small[0], *rows]), "utf-8")
    recording = read_recording(file).recording
    assert (recording.code, recording.batches()) == ("3", ("60",))
