"""`twinline product`: what the PLC must show, who binds, and what differs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.config import ControllerConfig
from plant_models.signals import MV
from tools.cli import app
from tools.configuration import load_controller, load_product_set
from tools.product_sets import known_sets, set_of_controller, set_of_line

NAMES = ("reference_tablet", "half_strength_tablet")


@pytest.fixture
def sets(root: Path) -> Path:
    return root / "configs/product_sets"


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """Sets of a folder that may be changed."""
    for source in (root / "configs").rglob("*.yaml"):
        target = tmp_path / source.relative_to(root / "configs")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return tmp_path / "product_sets"


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, ["product", *map(str, words)], env={"COLUMNS": "200"})


def test_hash_says_what_the_plc_must_show(sets: Path) -> None:
    file = sets / "half_strength_tablet.yaml"
    result = _run("hash", file, "--json")
    assert result.exit_code == 0, result.stdout
    facts, made = json.loads(result.stdout), load_product_set(file)
    assert facts["recipe_id"] == f"HALF-180-01@{made.hash}"
    assert facts["hash"] == made.hash
    assert facts["tuning"] == dict(made.tuning)
    assert made.recipe_id in _run("hash", file).stdout


def test_check_shows_the_range_of_every_mv_and_who_binds(sets: Path) -> None:
    result = _run("check", sets / "half_strength_tablet.yaml")
    assert result.exit_code == 0, result.stdout
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if "Line/" in line}
    shown = rows[MV.TURRET_SPEED].split()[1:]
    assert shown == ["rpm", "25..75", "25..70", "30..65", "30..65", "product"]
    assert rows[MV.BLENDER_SPEED].split()[-1] == "PLC"


def test_compare_finds_nothing_in_a_set_and_itself_and_everything_in_another(
    sets: Path, copied: Path
) -> None:
    reference = sets / "reference_tablet.yaml"
    assert _run("compare", reference, copied / "reference_tablet.yaml").exit_code == 0
    other = copied / "reference_tablet.yaml"
    other.write_text(other.read_text("utf-8").replace("version: 1", "version: 2"), "utf-8")
    result = _run("compare", reference, other, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["changed"] == [{"path": "set.version", "first": 1, "second": 2}]
    assert len(set(found["hashes"])) == 2
    text = _run("compare", reference, sets / "half_strength_tablet.yaml").stdout
    assert "product.api_percent" in text and "differences" in text


@pytest.mark.parametrize("command", ["hash", "check"])
def test_what_is_no_set_is_bad_input(sets: Path, command: str) -> None:
    result = _run(command, sets.parent / "lines/reference.yaml")
    assert result.exit_code == 2
    assert "a file of kind product_set is needed here" in result.stdout


def test_a_plant_takes_a_set_of_its_line_only(sets: Path) -> None:
    file, lines = sets / "reference_tablet.yaml", sets.parent / "lines"
    assert set_of_line(file, None).hash == set_of_line(file, lines / "reference.yaml").hash
    with pytest.raises(ValueError, match=r"not for .*recorded_press"):
        set_of_line(file, lines / "recorded_press.yaml")


def test_a_controller_takes_the_set_that_it_names_or_is_given(copied: Path) -> None:
    file = copied.parent / "controllers/pid.yaml"
    config: ControllerConfig = load_controller(file)
    assert set_of_controller(config, file, None) == (None, None)
    named = config.model_copy(update={"product_set": "../product_sets/reference_tablet.yaml"})
    for name, given in ((NAMES[0], None), (NAMES[1], copied / f"{NAMES[1]}.yaml")):
        made, found = set_of_controller(named, file, given)
        assert made is not None and found is not None
        assert found.resolve() == (copied / f"{name}.yaml").resolve()
        assert made.hash == load_product_set(found).hash


def test_a_controller_that_is_tuned_otherwise_is_refused(copied: Path) -> None:
    file = copied.parent / "controllers/pid.yaml"
    config: ControllerConfig = load_controller(file)
    tuned = config.model_copy(update={"pid": config.pid.model_copy(update={"weight_gain": 0.4})})
    with pytest.raises(ValueError, match="'pid' is tuned otherwise in the product set"):
        set_of_controller(tuned, file, copied / "reference_tablet.yaml")
    monitor = config.model_copy(update={"name": "press monitor"})
    with pytest.raises(ValueError, match="does not hold the tuning of 'press monitor'; it has"):
        set_of_controller(monitor, file, copied / "reference_tablet.yaml")


def test_a_set_that_a_controller_names_must_name_it(copied: Path) -> None:
    file = copied.parent / "controllers/pid.yaml"
    text = file.read_text("utf-8")
    line = "product_set: ../product_sets/reference_tablet.yaml\n"
    file.write_text(text.replace("algorithm: pid\n", f"algorithm: pid\n{line}"), "utf-8")
    assert load_controller(file).product_set is not None
    chosen = copied / "reference_tablet.yaml"
    kept = [r for r in chosen.read_text("utf-8").splitlines(True) if "pid.yaml" not in r]
    chosen.write_text("".join(kept), "utf-8")
    result = CliRunner().invoke(app, ["check", str(file)], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "product_set  (line 6)" in result.stdout
    assert "does not hold the tuning of 'pid'" in result.stdout
    assert "under a new version" in result.stdout


def test_known_are_the_usable_sets_beside_it(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config: ControllerConfig = load_controller(copied.parent / "controllers/pid.yaml")
    broken = copied / "broken.yaml"
    broken.write_text("kind: product_set\n", "utf-8")
    known = known_sets(config, copied / "reference_tablet.yaml")
    assert set(known) == {load_product_set(copied / f"{name}.yaml").hash for name in NAMES}
    assert "broken.yaml is left out" in caplog.text
    other = config.model_copy(update={"name": "another"})
    assert known_sets(other, copied / "reference_tablet.yaml") == {}


def test_the_settings_of_a_set_keep_the_links_and_rules_of_the_running_controller(
    sets: Path,
) -> None:
    config: ControllerConfig = load_controller(sets.parent / "controllers/pid.yaml")
    rules = config.supervision.model_copy(update={"solver_cycles": 9})
    running = config.model_copy(
        update={"supervision": rules, "pid": config.pid.model_copy(update={"weight_gain": 0.9})}
    )
    mine = load_product_set(sets / "reference_tablet.yaml").settings(running)
    assert mine.supervision.solver_cycles == 9
    assert mine.pid == config.pid
