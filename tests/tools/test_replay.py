"""``twinline replay`` on a recorded run: exact, found out, and refused for a reason."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from controller.algorithms import make_brain
from controller.cycle_data import initial_state, make_setup
from controller.data import Mode
from controller.records.codec import decode, encode
from controller.records.hashes import software_hash
from controller.records.historian import Historian, sqlite_url
from controller.targets import product_targets
from plant_models.config import ZoneConfig
from plant_models.signal_list import signal_table
from plant_models.signals import MV, PLC
from tests.controller.kit import LINE, TABLE, Loop, controller_config
from tools.cli import app
from tools.commands.replay import parse_cycles
from tools.configuration import load_product_set

CYCLES = 40


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of conventional control against the tiny plant."""
    config = controller_config("pid")
    loop = Loop(config=config, brain=make_brain(config, LINE, TABLE, None))  # type: ignore[arg-type]
    with Historian(sqlite_url(tmp_path / "historian.sqlite"), loop.setup, loop.state) as historian:
        for number in range(1, CYCLES + 1):
            requests = {2: (Mode.ADVISORY,), 20: (Mode.CLOSED_LOOP,)}
            historian.append(loop.cycle(*requests.get(number, ())))
    assert loop.state.mode is Mode.CLOSED_LOOP
    return tmp_path


def test_a_run_comes_out_exactly(run: Path) -> None:
    file = run / "outcome.json"
    result = CliRunner().invoke(app, ["replay", str(run), "--json", str(file)])
    assert result.exit_code == 0, result.output
    outcome = json.loads(file.read_text("utf-8"))
    assert (outcome["exact"], outcome["compared"]) == (True, CYCLES)
    assert outcome["plans"] >= CYCLES - 2


def test_a_part_of_a_run_is_enough(run: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(run), "--cycles", "10:19"])
    assert result.exit_code == 0, result.output
    assert "10 cycles (10 to 19)" in result.output


def test_a_record_that_was_changed_afterwards_is_found_out(run: Path) -> None:
    engine = sa.create_engine(sqlite_url(run / "historian.sqlite"))
    with engine.begin() as connection:
        blob = connection.execute(sa.text("SELECT record FROM cycles WHERE cycle = 30")).scalar()
        record = decode(blob)
        tag = next(iter(record.plan.moves))
        record.plan.moves[tag][0] *= 1.0 + 1e-15
        connection.execute(
            sa.text("UPDATE cycles SET record = :record WHERE cycle = 30"),
            {"record": encode(record)},
        )
    engine.dispose()
    result = CliRunner().invoke(app, ["replay", str(run)])
    assert result.exit_code == 1
    assert "cycle 30: plan differs" in result.output


@pytest.mark.parametrize("cycles", ["5", "9:3", "0:4", "a:b"])
def test_a_range_that_is_none_is_bad_input(run: Path, cycles: str) -> None:
    assert CliRunner().invoke(app, ["replay", str(run), "--cycles", cycles]).exit_code == 2


def test_a_run_without_a_history_is_bad_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert result.exit_code == 2
    assert "no historian" in result.output


def test_a_start_that_never_was_is_bad_input(run: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(run), "--start", "7"])
    assert result.exit_code == 2
    assert "no start 7" in result.output


def test_ranges_of_cycles() -> None:
    assert parse_cycles("3:9") == (3, 9)
    assert parse_cycles("3:") == (3, None)
    assert parse_cycles(":9") == (1, 9)


def test_a_run_with_a_product_set_is_replayed_with_that_set(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its normal ranges bound the moves; without them the same cycles come out otherwise."""
    made = load_product_set(root / "configs/product_sets/reference_tablet.yaml")
    narrow = {MV.TURRET_SPEED: ZoneConfig(lo=46.0, hi=46.5)}
    config = made.config.model_copy(update={"filed": narrow, "normal": narrow})
    made = replace(made, config=config)
    file = tmp_path / "historian.sqlite"
    line, table = made.line, signal_table(made.line.line)
    settings = controller_config("pid")
    brain = make_brain(settings, line, table, None)
    loop = Loop(config=settings, brain=brain)  # type: ignore[arg-type]
    loop.plant.values[PLC.RECIPE_ID] = made.recipe_id
    loop.setup = make_setup(
        settings, line, table, brain, product_targets(line), software_hash(), made
    )
    loop.state = initial_state(loop.setup, loop.state.epoch)
    with Historian(sqlite_url(file), loop.setup, loop.state) as historian:
        for number in range(1, CYCLES + 1):
            historian.append(loop.cycle(*{2: (Mode.ADVISORY,)}.get(number, ())))
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert result.exit_code == 0, result.output
    monkeypatch.setattr("tools.commands.replay.recorded_product", lambda facts, line: None)
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert result.exit_code == 1, result.output
