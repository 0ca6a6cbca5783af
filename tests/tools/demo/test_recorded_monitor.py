"""The configuration that a recording's monitor runs with, and what it refuses to be made for."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from plant_models.press_cell import Law, main_force
from tools.cli import app
from tools.commissioning.press_fit import fitted_cell
from tools.demo.recorded import PreparedRecording
from tools.demo.recorded_monitor import Monitor, cell_settings, check_period, write_monitor
from tools.recordings.mapping import RecordingMapping
from tools.recordings.reader import read_recording
from tools.recordings.sensor_tuning import LOST_MOTION, SensorTuning

TUNING = SensorTuning(
    force_sd=80.0, fill_sd=LOST_MOTION, powder_walk=3e-4, gain=0.1, slope=-3e4, rows=500
)


def written(folder: Path, root: Path, prepared: PreparedRecording, period_s: int) -> Monitor:
    return write_monitor(
        folder,
        root / "configs",
        what="a test",
        period_s=period_s,
        cell=prepared.fit.cell,
        tuning=TUNING,
        weighted_mean=0.123,
    )


def test_what_is_written_passes_the_check_that_users_have(prepared: PreparedRecording) -> None:
    folder = prepared.order.run.path / "config"
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 0, result.output
    assert "7 configurations valid" in result.output


def test_the_monitor_has_the_fitted_press_and_the_recordings_noise(
    prepared: PreparedRecording,
) -> None:
    press = prepared.monitor.config.press
    assert press.cell.model_dump() == pytest.approx(cell_settings(prepared.fit.cell))
    assert press.cell.cell().scale == pytest.approx(prepared.fit.cell.scale, rel=1e-6)
    assert press.sensor.force_sd_kn == pytest.approx(prepared.tuning.force_sd * 1e-3, rel=1e-6)
    assert press.sensor.powder_walk == pytest.approx(prepared.tuning.powder_walk, rel=1e-6)
    assert press.forecast.weighted_mean == pytest.approx(prepared.opponents.alpha, rel=1e-6)
    assert prepared.monitor.config.supervision.start_mode == "MONITORING"


@pytest.mark.parametrize("law", ["kawakita", "heckel"])
def test_nominal_powder_is_that_of_the_fitted_batches(
    law: Law, prepared: PreparedRecording
) -> None:
    fit = fitted_cell(prepared.loaded.recording, prepared.loaded.tooling, law)
    at = fit.reference
    assert main_force(fit.cell, at.fill, at.band, 0.0, at.rate) == pytest.approx(at.force, rel=1e-4)


@pytest.mark.parametrize("period_s", [1, 2, 5, 20, 30])
def test_line_and_horizon_follow_the_recordings_spacing(
    period_s: int, prepared: PreparedRecording, root: Path, tmp_path: Path
) -> None:
    monitor = written(tmp_path, root, prepared, period_s)
    assert monitor.line.line.plc.control_period_s == monitor.config.period_s == period_s
    assert monitor.config.press.forecast.steps * period_s == 60


def test_the_usual_line_is_copied_as_it_is(
    prepared: PreparedRecording, root: Path, tmp_path: Path
) -> None:
    monitor = written(tmp_path, root, prepared, 10)
    shipped = root / "configs" / "lines" / "recorded_press.yaml"
    assert monitor.line_file.read_bytes() == shipped.read_bytes()
    document = yaml.safe_load(monitor.file.read_text("utf-8"))
    rules = yaml.safe_load((root / "configs/controllers/press_monitor.yaml").read_text("utf-8"))
    assert document["validation"] == rules["validation"]


@pytest.mark.parametrize("period_s", [7.0, 0.5, 60.0, 2.5])
def test_a_spacing_without_a_60_s_horizon_is_refused(period_s: float) -> None:
    with pytest.raises(ValueError, match=f"a row every {period_s:g} s"):
        check_period(period_s)


def test_another_product_gets_a_press_of_its_own(minutes_of_press: Path) -> None:
    other = read_recording(minutes_of_press, RecordingMapping(products={}))
    assert not other.tooling.known
    fit = fitted_cell(other.recording, other.tooling)
    assert 2.0 * (fit.cell.die_area / 3.14159265) ** 0.5 == pytest.approx(8.1e-3, rel=1e-6)
