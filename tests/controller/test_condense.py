"""Condensing: compiled routine, numpy and differences agree; zeros are where the pattern says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.data import Array
from controller.twin.compiled import build_rollout
from controller.twin.condense import Condenser, Entry, Pattern
from controller.twin.core import MOVES, OUTPUTS
from plant_models.variables import Structure
from tests.controller.ocp_kit import factory_of, fast_of, problem, twin_of

STAGES, UNKNOWNS = 12, 9
needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler"
)


def _entry(nx: int, inputs: int, seed: int) -> Entry:
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((4, inputs, UNKNOWNS))
    dense *= rng.random(dense.shape) < 0.3
    dense[0, :, 2:5] = 0.0
    initial = np.zeros((nx, UNKNOWNS))
    initial[[0, 3], [6, 1]] = 1.0
    return Entry.of(dense, np.sort(rng.integers(0, 4, STAGES)), initial)


def _twin_matrices(controlled: bool, structure: Structure) -> tuple[Pattern, tuple[Array, ...]]:
    """Pattern, and sensitivities of a roll-out of the twin by its parameters or its moves."""
    twin = twin_of(structure)
    p = problem(3, structure=structure)
    stage = twin.controlled_stage_function()
    out = build_rollout(stage, STAGES, None)(
        p.x0,
        np.repeat(p.p[:, None], STAGES, axis=1),
        np.vstack((np.repeat(p.previous[:, None], STAGES, axis=1), p.known[:, :STAGES])),
    )
    if controlled:
        return Pattern.by_moves(twin), (out.a, out.bv, out.hx, out.hv)
    return Pattern.by_parameters(twin), (out.a, out.bp, out.hx, out.hp)


@pytest.mark.parametrize("structure", [Structure.CASCADE, Structure.REMOTE])
@pytest.mark.parametrize("controlled", [False, True])
def test_outside_the_pattern_there_are_only_zeros(controlled: bool, structure: Structure) -> None:
    pattern, matrices = _twin_matrices(controlled, structure)
    columns = len(MOVES) if controlled else matrices[1].shape[1]
    places = (pattern.a, pattern.b, pattern.h, pattern.d)
    for kind, (matrix, may) in enumerate(zip(matrices, places, strict=True)):
        inside = np.zeros(matrix.shape[:2], dtype=bool)
        inside[may[:, 0], may[:, 1]] = True
        outside = matrix[~inside] if kind in (0, 2) else matrix[:, :columns][~inside[:, :columns]]
        assert not np.any(outside)
        assert 0 < inside.sum() < 0.7 * inside.size


@needs_compiler
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("controlled", [False, True])
def test_compiled_and_numpy_condense_alike(controlled: bool, seed: int, tmp_path: Path) -> None:
    pattern, matrices = _twin_matrices(controlled, Structure.CASCADE)
    inputs = len(MOVES) if controlled else matrices[1].shape[1]
    entry = _entry(matrices[0].shape[0], inputs, seed)
    pick = np.random.default_rng(seed).standard_normal((3, len(OUTPUTS)))
    plain, binary = Condenser(pattern, None), Condenser(pattern, tmp_path)
    assert (plain.compiled, binary.compiled) == (False, True)
    for wanted, got in zip(
        plain(*matrices, entry, pick), binary(*matrices, entry, pick), strict=True
    ):
        assert got.shape == wanted.shape
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9 * np.abs(wanted).max())


@needs_compiler
def test_matrices_in_another_order_in_memory_are_taken_as_they_are(tmp_path: Path) -> None:
    pattern, matrices = _twin_matrices(True, Structure.CASCADE)
    entry = _entry(matrices[0].shape[0], len(MOVES), 2)
    condense, pick = Condenser(pattern, tmp_path), np.eye(len(OUTPUTS))
    wanted, _ = condense(*matrices, entry, pick)
    for _ in range(20):
        got, _ = condense(*(np.ascontiguousarray(m) for m in matrices), entry, pick)
        assert np.array_equal(got, wanted)


@needs_compiler
def test_fewer_samples_than_stages_leave_the_rest_alone(tmp_path: Path) -> None:
    pattern, matrices = _twin_matrices(False, Structure.CASCADE)
    full = _entry(matrices[0].shape[0], matrices[1].shape[1], 1)
    short = Entry.of(full.dense, np.asarray(full.selector[:5]), _unordered(full))
    pick = np.eye(len(OUTPUTS))
    condense = Condenser(pattern, tmp_path)
    jacobian, _ = condense(*matrices, short, pick)
    whole, _ = condense(*matrices, full, pick)
    assert jacobian.shape == (5, len(OUTPUTS), UNKNOWNS)
    assert jacobian == pytest.approx(whole[:5])


def _unordered(entry: Entry) -> Array:
    initial = np.zeros_like(entry.initial)
    initial[:, entry.place] = entry.initial
    return initial


def test_sensitivities_by_the_moves_are_differences_of_predictions() -> None:
    solver, p = fast_of(), problem(2)
    moves = p.hold()
    rows = [OUTPUTS.index(n) for n in ("level", "potency", "log_weight")]
    jacobian = solver.sensitivities(solver.predict(p, moves), rows)
    for node, mv, step in ((0, 0, 1e-6), (2, 1, 1e-5), (1, 2, 1.0)):
        up, down = moves.copy(), moves.copy()
        up[node, mv] += step
        down[node, mv] -= step
        wanted = (solver.predict(p, up).y[rows] - _kept(solver.predict(p, down).y[rows])) / 2 / step
        got = jacobian[:, :, node * len(MOVES) + mv].T
        assert got == pytest.approx(wanted, rel=2e-4, abs=2e-5 * np.abs(wanted).max() + 1e-12)


def _kept(values: Any) -> Array:
    return np.array(values)


def test_a_grid_of_moves_enters_in_the_order_of_its_nodes() -> None:
    grid = factory_of().grid
    assert grid.nodes[0] == 0
    dense = np.einsum("kn,ij->kinj", grid.interpolation, np.eye(2)).reshape(grid.stages, 2, -1)
    entry = Entry.of(dense, np.arange(grid.stages), np.zeros((4, dense.shape[2])))
    assert entry.ends[0] == 2
    assert np.all(np.diff(entry.ends) >= 0)
    assert entry.ends[-1] == dense.shape[2]
