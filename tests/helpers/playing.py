"""Recordings in tests: the shipped extract, a monitor without a model, the cycle in process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from controller.algorithms import make_brain
from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState, make_setup
from controller.records.hashes import software_hash
from controller.targets import product_targets
from hil.recorded import RecordedPlant
from plant_models.line import ResolvedLine
from plant_models.recording import Recording
from plant_models.signal_list import signal_table
from tools.configuration import load_controller, load_line
from tools.recordings.reader import read_recording

ROOT = Path(__file__).resolve().parents[2]
EXTRACT = ROOT / "examples" / "recordings" / "press_code5.csv.gz"
MONITOR = ROOT / "configs" / "controllers" / "press_monitor.yaml"
PERIOD = 10


@cache
def extract() -> Recording:
    return read_recording(EXTRACT).recording


@cache
def recorded_line() -> ResolvedLine:
    return load_line(ROOT / "configs" / "lines" / "recorded_press.yaml")


def bare_monitor(folder: Path) -> Path:
    """The press monitor's configuration with the algorithm that computes nothing."""
    text = MONITOR.read_text("utf-8").replace("algorithm: press\n", "algorithm: plc\n")
    line = ROOT / "configs" / "lines" / "recorded_press.yaml"
    text = text.replace("../lines/recorded_press.yaml", os.path.relpath(line, folder))
    file = folder / "bare_monitor.yaml"
    file.write_text(text, "utf-8")
    return file


def monitor_setup(file: Path) -> CycleSetup:
    config, line = load_controller(file), recorded_line()
    assert isinstance(config, ControllerConfig)
    table = signal_table(line.line)
    brain = make_brain(config, line, table, None)
    return make_setup(config, line, table, brain, product_targets(line), software_hash())


def played(
    plant: RecordedPlant, setup: CycleSetup, state: CycleState, rows: int
) -> Iterator[CycleOutput]:
    """The cycle over the next ``rows`` of the recording, one after the other."""
    for _ in range(rows):
        plant.advance(PERIOD)
        output = run_cycle(CycleInputs(snapshot=plant.snapshot()), state, setup, lambda: 0.0)
        state = output.state
        yield output
