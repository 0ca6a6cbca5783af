"""Fuzzed cycles judged from outside: nothing unsafe is written, and every slip is noticed."""

import ast
from pathlib import Path

import pytest

from tests.controller.supervision.mutants import MUTANTS, Mutant, planted
from tests.controller.supervision.oracle import Mv, Oracle, Rules
from tools.benchmarks.supervision_cycle_rig import CycleRig
from tools.benchmarks.supervision_fuzz import Fuzz
from tools.benchmarks.supervision_rig import Rig
from tools.benchmarks.supervision_rules import rules_of
from tools.benchmarks.supervision_scene import Scene, scene

NOTICED_WITHIN = 30_000


@pytest.fixture(scope="module")
def stage() -> Scene:
    return scene()


def fuzz(stage: Scene, seed: int, *, whole: bool = False) -> Fuzz:
    judge = Oracle(Rules(**rules_of(stage, Mv)), epoch=1)
    return Fuzz(stage, judge, seed, CycleRig if whole else Rig)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_unsafe_is_written_while_plant_people_and_algorithm_err(
    stage: Scene, seed: int
) -> None:
    run = fuzz(stage, seed)
    run.run(2_000)
    assert run.broken == {}
    assert run.frames >= 0.2 * run.cycles
    assert run.orders > 0


@pytest.mark.parametrize("seed", [4, 5])
def test_the_whole_cycle_writes_nothing_unsafe_either(stage: Scene, seed: int) -> None:
    run = fuzz(stage, seed, whole=True)
    run.run(1_000)
    assert run.broken == {}
    assert run.frames >= 0.2 * run.cycles
    assert run.orders > 0


def test_a_run_depends_on_its_seed_only(stage: Scene) -> None:
    runs = [fuzz(stage, 7) for _ in range(2)]
    for run in runs:
        run.run(300)
    first, second = runs
    assert first.frames == second.frames
    assert first.plant.state == second.plant.state
    assert first.broken == second.broken == {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.slip)
def test_every_slip_is_noticed(stage: Scene, mutant: Mutant) -> None:
    with planted(mutant):
        run = fuzz(stage, 1_000, whole=mutant.wiring)
        while run.cycles < NOTICED_WITHIN and not run.unsafe:
            run.cycle()
    assert run.unsafe, f"nobody noticed within {run.cycles} cycles: {mutant.slip}"


def test_a_mutant_leaves_nothing_behind(stage: Scene) -> None:
    with planted(MUTANTS[0]):
        pass
    run = fuzz(stage, 1_000)
    run.run(300)
    assert run.unsafe == 0


def test_there_are_twenty_slips_and_each_is_another() -> None:
    assert len({(m.module, m.old, m.new) for m in MUTANTS}) == len(MUTANTS) >= 20


def test_a_mutant_that_names_no_place_is_an_error() -> None:
    with (
        pytest.raises(ValueError, match="must name one place"),
        planted(Mutant("nothing", "gate", "no such line", "")),
    ):
        pass


def test_the_judge_knows_nothing_of_what_it_judges(root: Path) -> None:
    tree = ast.parse((root / "tests/controller/supervision/oracle.py").read_text("utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {
        n for n in names if n.split(".")[0] in ("controller", "hil", "tools", "plant_models")
    }
