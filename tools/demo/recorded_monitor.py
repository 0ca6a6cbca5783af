"""The press monitor for one recording: the shipped configuration with the fitted press in it.

Written as files that `twinline check` and `twinline control` read like any others, with the line
and all that it refers to beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi, sqrt
from pathlib import Path
from typing import Any

import yaml

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.cycle_data import CycleSetup, make_setup
from controller.records.hashes import software_hash
from controller.targets import product_targets
from plant_models.line import ResolvedLine
from plant_models.press_cell import PressCell
from plant_models.signal_list import signal_table
from tools.configuration import load_controller, load_line
from tools.recordings.origins import HORIZON_S
from tools.recordings.sensor_tuning import SensorTuning

__all__ = ["Monitor", "cell_settings", "check_period", "monitor_setup", "write_monitor"]

_LINE = Path("lines", "recorded_press.yaml")
_CONTROLLER = Path("controllers", "press_monitor.yaml")
_LONGEST_S = 30.0  # control period that a controller can have
_DIGITS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """The files, and what they say."""

    file: Path
    line_file: Path
    config: ControllerConfig
    line: ResolvedLine


def check_period(period_s: float) -> int:
    """The control period [s] for a recording's spacing; raises ``ValueError`` where there is none.

    Forecasts are judged 60 s ahead, so that the horizon must be a whole number of periods.
    """
    whole = round(period_s)
    if whole != period_s or not 1 <= whole <= _LONGEST_S or HORIZON_S % whole:
        raise ValueError(
            f"the recording has a row every {period_s:g} s; a forecast over {HORIZON_S:g} s needs "
            f"a spacing of whole seconds up to {_LONGEST_S:g} that divides {HORIZON_S:g}. "
            "Resample it, for example to one row every 10 s"
        )
    return whole


def write_monitor(
    folder: Path,
    configs: Path,
    *,
    what: str,
    period_s: int,
    cell: PressCell,
    tuning: SensorTuning,
    weighted_mean: float,
) -> Monitor:
    """Write the monitor's configuration into ``folder`` and load it from there.

    Parameters
    ----------
    folder
        Where to.
    configs
        Folder of the shipped configurations.
    what
        Of which recording, for the first line.
    period_s
        Spacing of the recording.
    cell
        The fitted press.
    tuning
        Noise of the soft sensor.
    weighted_mean
        Constant of the mean of the force that forecasts best.
    """
    line_file = _copy_line(configs, folder, period_s)
    document = _read(configs / _CONTROLLER)
    document |= {"name": f"press monitor, {what}", "line": _LINE.as_posix(), "period_s": period_s}
    press = document.setdefault("press", {})
    press["cell"] = press.get("cell", {}) | cell_settings(cell)
    press["sensor"] = press.get("sensor", {}) | {
        "force_sd_kn": _short(tuning.force_sd * 1e-3),
        "fill_sd_mm": _short(tuning.fill_sd * 1e3),
        "powder_walk": _short(tuning.powder_walk),
    }
    press["forecast"] = press.get("forecast", {}) | {
        "steps": round(HORIZON_S / period_s),
        "weighted_mean": _short(weighted_mean),
    }
    file = folder / _CONTROLLER.name
    _write(file, document, f"# Press monitor for {what}: the shipped one with what was fitted.\n")
    config: ControllerConfig = load_controller(file)
    return Monitor(file=file, line_file=line_file, config=config, line=load_line(line_file))


def cell_settings(cell: PressCell) -> dict[str, Any]:
    """A press cell in the units of `controller.press.settings.CellConfig`."""
    settings = {
        "law": cell.law,
        "diameter_mm": 2e3 * sqrt(cell.die_area / pi),
        "cup_height_mm": cell.cup_height * 1e3,
        "lower_cup_mm": cell.lower_cup * 1e3,
        "compliance_um_per_kn": cell.compliance * 1e9,
        "true_density_kg_m3": cell.true_density,
        "bulk_density_kg_m3": cell.bulk_density,
        "kawakita_a": cell.a,
        "kawakita_scale_mpa": cell.scale * 1e-6,
        "critical_density": cell.critical_density,
        "heckel_slope_per_gpa": cell.heckel_slope * 1e9,
        "heckel_intercept": cell.heckel_intercept,
        "speed_sensitivity": cell.speed_sensitivity,
        "tablet_rate_ref_per_h": cell.rate_ref * 3600.0,
    }
    return {k: v if isinstance(v, str) else _short(v) for k, v in settings.items()}


def monitor_setup(monitor: Monitor) -> CycleSetup:
    """What the cycles of the monitor run with, as `twinline control` makes it."""
    config, line = monitor.config, monitor.line
    table = signal_table(line.line)
    brain = make_brain(config, line, table, None)
    return make_setup(config, line, table, brain, product_targets(line), software_hash())


def _copy_line(configs: Path, folder: Path, period_s: int) -> Path:
    """Copy the line and all that it refers to, with the recording's spacing as control period."""
    line = _read(configs / _LINE)
    product_file = configs / _LINE.parent / line["product"]
    parts = [product_file, product_file.parent / _read(product_file)["blend"]]
    parts += [configs / _LINE.parent / feeder["material"] for feeder in line["feeders"]]
    for part in parts:
        copy = folder / part.resolve().relative_to(configs.resolve())
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(part.read_bytes())
    target = folder / _LINE
    target.parent.mkdir(parents=True, exist_ok=True)
    if line["plc"]["control_period_s"] == period_s:
        target.write_bytes((configs / _LINE).read_bytes())
    else:
        plc = line["plc"]
        plc["control_period_s"] = period_s
        plc["watchdog_s"] = max(plc["watchdog_s"], 3 * period_s)
        plc["echo_max_s"] = min(plc["echo_max_s"], period_s)
        _write(target, line, f"# The recorded press with a row every {period_s} s.\n")
    return target


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return document


def _write(file: Path, document: Mapping[str, Any], head: str) -> None:
    text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100)
    file.write_text(head + text, "utf-8")
