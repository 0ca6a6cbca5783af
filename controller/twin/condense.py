"""Condensing: stage sensitivities chained into the Jacobian of all outputs by few unknowns.

(C1)  S_k = A_k S_k-1 + B_k E_k                    sensitivity of the state by the unknowns
(C2)  J_k = M (H_k S_k + D_k E_k)                  of the chosen outputs

``A``, ``B``, ``H``, ``D`` are a roll-out's stage sensitivities, ``E_k`` says how the unknowns enter
the stage's parameters or inputs (an interpolation between nodes, a walk in blocks), ``M`` picks or
combines outputs. The twin's matrices are mostly zeros (four fifths of ``A``), and early stages
depend on few unknowns; a small C routine knows both. Without a compiler numpy does the same.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from controller.data import Array
from controller.twin.compiled import compile_c
from controller.twin.core import INPUTS, MOVES, OUTPUTS, PARAMETERS, ControlTwin

__all__ = ["Condenser", "Entry", "Pattern"]

IntArray = NDArray[np.int32]

_NAME = "condense"
_FLAGS = ("-O3", "-fPIC", "-shared")
_SOURCE = r"""
#include <string.h>

static void add(double *restrict to, double factor, const double *restrict from, int n) {
  for (int i = 0; i < n; i++) to[i] += factor * from[i];
}

/* matrices column by column, stage after stage; s, t, w work space */
void condense(const int *size, const double *a, const double *b, const double *h, const double *d,
              const int *pa, const int *pb, const int *ph, const int *pd, const double *pick,
              const int *selector, const int *start, const int *column, const double *share,
              const int *ends, const int *place, double *s, double *t, double *w,
              double *jacobian) {
  const int stages = size[0], nx = size[1], nb = size[2], ny = size[3], nz = size[4];
  const int rows = size[5], na = size[6], nB = size[7], nh = size[8], nd = size[9], all = size[10];
  for (int k = 0; k < stages; k++) {
    const double *ak = a + (long)k * nx * nx, *bk = b + (long)k * nx * all;
    const double *hk = h + (long)k * ny * nx, *dk = d + (long)k * ny * all;
    const int *first = start + selector[k] * (nb + 1);
    const int end = ends[k];
    for (int i = 0; i < nx; i++) memset(t + (long)i * nz, 0, sizeof(double) * end);
    for (int e = 0; e < na; e++) {
      const int i = pa[2 * e], j = pa[2 * e + 1];
      const double v = ak[i + j * nx];
      if (v != 0.0) add(t + (long)i * nz, v, s + (long)j * nz, end);
    }
    for (int e = 0; e < nB; e++) {
      const int i = pb[2 * e], m = pb[2 * e + 1];
      const double v = bk[i + m * nx];
      for (int c = first[m]; c < first[m + 1]; c++) t[(long)i * nz + column[c]] += v * share[c];
    }
    for (int i = 0; i < nx; i++) memcpy(s + (long)i * nz, t + (long)i * nz, sizeof(double) * end);
    for (int o = 0; o < ny; o++) memset(w + (long)o * nz, 0, sizeof(double) * end);
    for (int e = 0; e < nh; e++) {
      const int o = ph[2 * e], j = ph[2 * e + 1];
      add(w + (long)o * nz, hk[o + j * ny], s + (long)j * nz, end);
    }
    for (int e = 0; e < nd; e++) {
      const int o = pd[2 * e], m = pd[2 * e + 1];
      const double v = dk[o + m * ny];
      for (int c = first[m]; c < first[m + 1]; c++) w[(long)o * nz + column[c]] += v * share[c];
    }
    for (int r = 0; r < rows; r++) {
      double *out = jacobian + ((long)k * rows + r) * nz;
      for (int o = 0; o < ny; o++)
        if (pick[r * ny + o] != 0.0)
          for (int c = 0; c < end; c++) out[place[c]] += pick[r * ny + o] * w[(long)o * nz + c];
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Places (row, column) that may differ from zero in the four matrices of a stage."""

    a: IntArray
    b: IntArray
    h: IntArray
    d: IntArray

    @classmethod
    def by_parameters(cls, twin: ControlTwin) -> Pattern:
        """Of the twin's stage by its parameters."""
        x, p, v = _symbols(twin, len(INPUTS))
        return cls._of(twin, x, p, v, ca.vertsplit(v), 1)

    @classmethod
    def by_moves(cls, twin: ControlTwin) -> Pattern:
        """Of the twin's controlled stage by its moves."""
        x, p, w = _symbols(twin, len(MOVES) + 3 * len(twin.resolved.line.feeders) + 3)
        rows = ca.vertsplit(w)
        inputs = twin.stage_inputs(rows[: len(MOVES)], rows[len(MOVES) :])
        pattern = cls._of(twin, x, p, w, inputs, 2)
        own = [m[m[:, 1] < len(MOVES)] for m in (pattern.b, pattern.d)]
        return cls(pattern.a, own[0], pattern.h, own[1])

    @classmethod
    def _of(cls, twin: ControlTwin, x: Any, p: Any, w: Any, inputs: list[Any], at: int) -> Pattern:
        z = ca.SX.sym("z", twin.path.size)
        named = twin.outputs(ca.vertsplit(z), ca.vertsplit(p), inputs)
        y = ca.vertcat(*(named[n] for n in OUTPUTS))
        step = ca.Function("step", [x, p, w], [twin.advance(x, p, ca.vertcat(*inputs))])
        seen = ca.Function("seen", [z, p, w], [y])
        return cls(
            _places(step.jac_sparsity(0, 0)),
            _places(step.jac_sparsity(0, at)),
            _places(seen.jac_sparsity(0, 0)),
            _places(seen.jac_sparsity(0, at)),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """How the unknowns enter the stages: ``E_k`` by ``selector[k]``, sparse, and who is active.

    Inside, unknowns are in the order in which they become active: ``place`` (nz,) says where each
    one belongs. ``start`` (selectors, nb + 1), ``column``, ``share``: compressed rows of all
    selectors; ``ends`` (stages,) number of unknowns active so far. ``initial`` (nx, nz) is the
    sensitivity of the first state; ``dense`` (selectors, nb, nz) as given, for numpy.
    """

    selector: IntArray
    start: IntArray
    column: IntArray
    share: Array
    ends: IntArray
    place: IntArray
    initial: Array
    dense: Array

    @classmethod
    def of(cls, dense: Array, selector: NDArray[np.int_], initial: Array) -> Entry:
        """From dense selectors, the number of the one each stage uses, and ``dx_0/dz``."""
        used = np.any(dense != 0.0, axis=1)  # (selectors, nz)
        first = np.where(used.any(axis=0), used.argmax(axis=0), dense.shape[0])
        first[np.any(initial != 0.0, axis=0)] = -1
        place = np.argsort(first, kind="stable")
        start, column, share, last = [], [], [], 0
        for matrix in dense[:, :, place]:
            rows = [last]
            for row in matrix:
                places = np.flatnonzero(row)
                column.append(places)
                share.append(row[places])
                last += places.size
                rows.append(last)
            start.append(rows)
        active = np.array([np.count_nonzero(first <= i) for i in range(dense.shape[0])])
        return cls(
            selector=np.ascontiguousarray(selector, dtype=np.int32),
            start=np.array(start, dtype=np.int32),
            column=np.concatenate(column).astype(np.int32),
            share=np.concatenate(share).astype(float),
            ends=np.maximum.accumulate(active[selector]).astype(np.int32),
            place=place.astype(np.int32),
            initial=np.ascontiguousarray(initial[:, place]),
            dense=dense,
        )


class Condenser:
    """Condensing for one twin; compiled if there is a cache and a compiler. One thread only.

    Parameters
    ----------
    pattern
        Places that may differ from zero.
    cache
        Folder for the compiled routine; ``None`` uses numpy.
    """

    def __init__(self, pattern: Pattern, cache: Path | None) -> None:
        self._pattern = pattern
        target = None if cache is None else compile_c(_NAME, _SOURCE, cache, _FLAGS)
        self.compiled = target is not None
        self._routine: Any = None if target is None else ctypes.CDLL(str(target)).condense

    def __call__(
        self, a: Array, b: Array, h: Array, d: Array, entry: Entry, pick: Array
    ) -> tuple[Array, Array]:
        """Jacobian (stages, rows, nz) of the picked outputs, and of the last state (nx, nz).

        Parameters
        ----------
        a, b, h, d
            Sensitivities of a roll-out, last axis the stage, as its buffers hold them; stages
            beyond those of ``entry`` are left alone.
        entry
            How the unknowns enter.
        pick
            (rows, ny) combination of outputs.
        """
        if self._routine is None:
            return _by_numpy(a, b, h, d, entry, pick)
        pick = np.ascontiguousarray(pick, dtype=float)
        stages, nx, nz = entry.selector.size, a.shape[0], entry.place.size
        s, t = entry.initial.copy(), np.empty((nx, nz))
        w = np.empty((h.shape[0], nz))
        jacobian = np.zeros((stages, pick.shape[0], nz))
        p = self._pattern
        size = np.array(
            [
                *(stages, nx, entry.dense.shape[1], h.shape[0], nz, pick.shape[0]),
                *(len(p.a), len(p.b), len(p.h), len(p.d), b.shape[1]),
            ],
            dtype=np.int32,
        )
        arrays = (
            *(size, _flat(a), _flat(b), _flat(h), _flat(d), p.a, p.b, p.h, p.d, pick),
            *(entry.selector, entry.start, entry.column, entry.share, entry.ends, entry.place),
            *(s, t, w, jacobian),
        )  # held until the routine is done: some may be copies
        self._routine(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
        last = np.zeros((nx, nz))
        last[:, entry.place] = s
        return jacobian, last


def _by_numpy(
    a: Array, b: Array, h: Array, d: Array, entry: Entry, pick: Array
) -> tuple[Array, Array]:
    """The same with dense matrices."""
    nb, nz = entry.dense.shape[1:]
    sens = np.zeros((a.shape[0], nz))
    sens[:, entry.place] = entry.initial
    jacobian = np.empty((entry.selector.size, pick.shape[0], nz))
    for k, chosen in enumerate(entry.dense[entry.selector]):
        sens = a[:, :, k] @ sens + b[:, :nb, k] @ chosen
        jacobian[k] = pick @ (h[:, :, k] @ sens + d[:, :nb, k] @ chosen)
    return jacobian, sens


def _symbols(twin: ControlTwin, inputs: int) -> tuple[Any, Any, Any]:
    sizes = (twin.path.size, len(PARAMETERS), inputs)
    x, p, v = (ca.SX.sym(n, s) for n, s in zip("xpv", sizes, strict=True))
    return x, p, v


def _places(sparsity: Any) -> IntArray:
    rows, columns = sparsity.get_triplet()
    return np.array([rows, columns], dtype=np.int32).T.copy()


def _flat(matrices: Array) -> Array:
    """The buffer under a (rows, columns, stages) view in Fortran order."""
    return np.asarray(matrices.ravel(order="F"))
