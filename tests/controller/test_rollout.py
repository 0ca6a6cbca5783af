"""Roll-outs: compiled or not the same; the cache heals itself; no compiler is no obstacle."""

import shutil
from pathlib import Path

import casadi as ca
import numpy as np
import pytest

from controller.config import EstimationConfig
from controller.optimisation.fast import FastSolver
from controller.optimisation.problem import stage_moves
from controller.twin import compiled
from controller.twin.compiled import Rollout, build_rollout, build_simulation
from controller.twin.core import OUTPUTS, PARAMETERS
from tests.controller.ocp_kit import API, BLENDER, FEED, factory_of, fast_of, problem, twin_of

STAGES = 5
FIELDS = ("x", "a", "bp", "bv", "y", "hx", "hp", "hv")

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="no compiler here"
)


def tiny() -> ca.Function:
    """A stage of two states that anybody can follow."""
    x, p, v = ca.SX.sym("x", 2), ca.SX.sym("p", 1), ca.SX.sym("v", 1)
    nxt = ca.vertcat(0.5 * x[0] + v, x[1] + p * x[0])
    z = ca.SX.sym("z", 2)
    y = ca.vertcat(z[0] * z[1] + p, ca.exp(v))
    out = ca.Function("out", [z, p, v], [y, *(ca.jacobian(y, s) for s in (z, p, v))])
    parts = [nxt, *(ca.jacobian(nxt, s) for s in (x, p, v)), *out(nxt, p, v)]
    return ca.Function("tiny", [x, p, v], [ca.densify(e) for e in parts])


def arguments(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=2), rng.normal(size=(1, STAGES)), rng.normal(size=(1, STAGES))


def results(rollout: Rollout, seed: int = 1) -> dict[str, np.ndarray]:
    out = rollout(*arguments(seed))
    return {name: getattr(out, name).copy() for name in FIELDS}


def entries(cache: Path) -> tuple[Path, Path]:
    (library,) = cache.glob("*.so")
    return library, library.with_suffix(".sha256")


def test_every_stage_starts_where_the_one_before_ended() -> None:
    x, p, v = arguments(1)
    out = results(build_rollout(tiny(), STAGES, None))
    for j in range(STAGES):
        x = np.array([0.5 * x[0] + v[0, j], x[1] + p[0, j] * x[0]])
        assert out["x"][:, j] == pytest.approx(x)
        assert out["y"][:, j] == pytest.approx([x[0] * x[1] + p[0, j], np.exp(v[0, j])])
        assert out["hx"][:, :, j] == pytest.approx(np.array([[x[1], x[0]], [0.0, 0.0]]))
        assert out["a"][:, :, j] == pytest.approx(np.array([[0.5, 0.0], [p[0, j], 1.0]]))
        assert out["bv"][:, :, j] == pytest.approx(np.array([[1.0], [0.0]]))


@needs_compiler
def test_compiled_c_gives_what_the_machine_gives(tmp_path: Path) -> None:
    machine = build_rollout(tiny(), STAGES, None)
    binary = build_rollout(tiny(), STAGES, tmp_path)
    assert (machine.compiled, binary.compiled) == (False, True)
    for seed in range(3):
        a, b = results(machine, seed), results(binary, seed)
        for name in FIELDS:
            assert b[name] == pytest.approx(a[name], rel=1e-13, abs=1e-15)


def test_a_simulation_gives_the_outputs_of_the_roll_out() -> None:
    simulate = build_simulation(twin_of().plain_stage_function(), factory_of().grid.stages, None)
    for seed in (1, 2):
        p = problem(seed)
        w = np.vstack((stage_moves(p, p.hold()), p.known))
        q = np.repeat(p.p[:, None], simulate.stages, axis=1)
        wanted = fast_of().predict(p, p.hold()).y
        assert simulate(p.x0, q, w) == pytest.approx(wanted, rel=1e-12, abs=1e-14)


@needs_compiler
def test_so_it_does_for_the_twin_of_the_line(tmp_path: Path) -> None:
    binary = FastSolver(twin_of(), factory_of().grid, tmp_path)
    for p in (problem(1), problem(2)):
        a, b = fast_of().predict(p, p.hold()), binary.predict(p, p.hold())
        for name in FIELDS:
            left, right = getattr(a, name), getattr(b, name)
            size = np.max(np.abs(left), axis=-1, keepdims=True)
            assert np.all(np.abs(left - right) <= 1e-12 * size)
        slow, quick = fast_of().solve(p, p.hold(), 3), binary.solve(p, p.hold(), 3)
        assert quick.moves == pytest.approx(slow.moves, rel=1e-9)


@needs_compiler
def test_a_second_start_loads_what_the_first_compiled(tmp_path: Path) -> None:
    build_rollout(tiny(), STAGES, tmp_path)
    library, _ = entries(tmp_path)
    before = library.stat().st_mtime_ns
    assert build_rollout(tiny(), STAGES, tmp_path).compiled
    assert library.stat().st_mtime_ns == before


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no mark", "wrong mark"])
def test_a_damaged_entry_of_the_cache_is_built_again(tmp_path: Path, damage: str) -> None:
    """Loading it would crash the controller or, worse, not crash it."""
    good = results(build_rollout(tiny(), STAGES, tmp_path))
    library, mark = entries(tmp_path)
    other = tmp_path / "other"  # a fresh name: the loader keeps what it has loaded under the old
    other.mkdir()
    copied = other / library.name
    shutil.copy(library, copied)
    shutil.copy(mark, other / mark.name)
    content = bytearray(copied.read_bytes())
    if damage == "cut":
        copied.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        copied.write_bytes(content)
    elif damage == "empty":
        copied.write_bytes(b"")
    elif damage == "no mark":
        (other / mark.name).unlink()
    else:
        (other / mark.name).write_text("0" * 64)
    again = build_rollout(tiny(), STAGES, other)
    assert again.compiled
    assert copied.read_bytes() == library.read_bytes()
    assert (other / mark.name).read_text() == mark.read_text()
    for name, value in results(again).items():
        assert np.array_equal(value, good[name])


@needs_compiler
def test_another_model_or_length_is_another_entry(tmp_path: Path) -> None:
    build_rollout(tiny(), STAGES, tmp_path)
    build_rollout(tiny(), STAGES + 1, tmp_path)
    assert len(list(tmp_path.glob("*.so"))) == 2


def test_without_a_compiler_it_works_uncompiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    rollout = build_rollout(tiny(), STAGES, tmp_path)
    assert not rollout.compiled
    assert list(tmp_path.iterdir()) == []
    p = problem(1)
    found = FastSolver(twin_of(), factory_of().grid, tmp_path).solve(p, p.hold(), 3)
    assert found.ok
    assert found.cost == pytest.approx(fast_of().solve(p, p.hold(), 3).cost, rel=1e-12)


@needs_compiler
def test_a_compiler_that_fails_is_reported_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'out of memory' >&2\nexit 4\n")
    broken.chmod(0o755)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: str(broken))
    rollout = build_rollout(tiny(), STAGES, tmp_path / "cache")
    assert not rollout.compiled
    assert "out of memory" in caplog.text
    assert results(rollout)["x"] == pytest.approx(results(build_rollout(tiny(), STAGES, None))["x"])


def test_a_roll_out_of_the_controller_fits_the_estimators_window_too() -> None:
    """The estimator rolls the same stages out; its parameters may differ from stage to stage."""
    stages = EstimationConfig().window_samples
    twin = twin_of()
    rollout = build_rollout(twin.stage_function(), stages, None)
    x0 = twin.steady(FEED, API, 0.0, BLENDER)
    now = problem()
    column = twin.stage_inputs(list(now.previous), list(now.known[:, 0]))
    v = np.tile(np.array(column, dtype=float)[:, None], stages)
    p = np.zeros((len(PARAMETERS), stages))
    p[PARAMETERS.index("strength"), stages // 2 :] = 0.1
    strength = rollout(x0, p, v).y[OUTPUTS.index("log_strength")]
    assert strength[: stages // 2] == pytest.approx(strength[0], abs=1e-3)
    assert strength[stages // 2 :] - strength[0] == pytest.approx(0.1, abs=1e-3)
