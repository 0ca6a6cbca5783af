"""One step towards goals in order of priority: what cannot be met is relaxed from the lowest up.

(G1)  lo_i - e_i <= a_i s <= hi_i + e_i,  e >= 0,    low <= s <= high
(G2)  e of level k:  min |e_k|^2  with what the levels before k settled for    k = 0, 1, ...
      then  e_i += min(e_i, t_i)                          a tolerance for the levels after k
(G3)  s:  min 1/2 s'Hs + f's + w |excess of goals with a tolerance|^2,  w large, all e fixed

A cascade of small quadratic programs (DAQP); one is enough where all goals can be met. The
multipliers of (G2) name what stood in the way. Rows are made unit vectors first: only then does the
solver's tolerance mean the same in all of them.

References
----------
Lexicographic goals in predictive control: Ocampo-Martinez, Ingimundarson, Puig & Quevedo 2008, IEEE
Trans Control Syst Technol 16:113-121 (from memory); form worked out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import daqp
import numpy as np
from numpy.typing import NDArray

from controller.data import Array

__all__ = ["Goals", "Step", "prioritised_step"]

IntArray = NDArray[np.int_]
Mask = NDArray[np.bool_]

_PROXIMAL = 1e-4  # curvature that keeps (G2) strictly convex; what it costs goes with the step
_LOOSE = 1e-6  # added to every goal, so that its two sides and the levels above leave room
_TOLERANCE = 1e-9
_PULL = 1e3  # weight of relaxed goals beside the objective of (G3)
_CONSTANT = 1e-8  # a row shorter than this does not answer to the step
_FELT = 1e-5  # share of the largest multiplier from which on a constraint stood in the way
_FAR = 1e20


@dataclass(frozen=True, slots=True)
class Goals:
    """Rows of (G1): ``a`` (m, n), ``lo``, ``hi`` (m,), ``level`` (m,) 0 first.

    ``tolerance`` (m,) is how much worse than it must be a relaxed goal may end, if that serves the
    levels after it.
    """

    a: Array
    lo: Array
    hi: Array
    level: IntArray
    tolerance: Array


@dataclass(frozen=True, slots=True)
class Step:
    """Step ``s`` (n,), multipliers of the goals (m,), and who stood in whose way.

    ``blocked`` maps a level that was relaxed to the bounds (n,) and rows (m,) that stood in its
    way: 1 at the upper side, -1 at the lower, 0 if not. ``ok`` is False if no program was solved.
    """

    s: Array
    multipliers: Array
    blocked: dict[int, tuple[IntArray, IntArray]]
    ok: bool


def prioritised_step(
    goals: Goals,
    low: Array,
    high: Array,
    hessian: Array,
    gradient: Array,
    guess: tuple[int, ...] = (),
) -> Step:
    """Solve (G1)-(G3).

    Parameters
    ----------
    goals
        Rows by level.
    low, high
        ``low <= 0 <= high`` (n,), never relaxed.
    hessian, gradient
        Of (G3); ``hessian`` (n, n) positive definite.
    guess
        Levels that a step before this one relaxed: tried first, which saves programs.
    """
    free = high > low
    length = np.linalg.norm(goals.a[:, free], axis=1)
    fixed = length < _CONSTANT
    length[fixed] = 1.0
    lo = np.where(fixed, -_FAR, goals.lo / length) - _LOOSE
    hi = np.where(fixed, _FAR, goals.hi / length) + _LOOSE
    cascade = _Cascade(
        Goals(goals.a[:, free] / length[:, None], lo, hi, goals.level, goals.tolerance / length),
        length,
        low[free],
        high[free],
        hessian[np.ix_(free, free)],
        gradient[free],
    )
    found = cascade.run(guess)
    s, blocked = np.zeros(low.size), {}
    s[free] = found.s
    for level, (bounds, rows) in found.blocked.items():
        sides = np.zeros(low.size, dtype=int)
        sides[free] = bounds
        blocked[level] = sides, rows
    for level in np.unique(goals.level[fixed & ((goals.lo > 0.0) | (goals.hi < 0.0))]):
        nothing = np.zeros(low.size, dtype=int), np.zeros(goals.level.size, dtype=int)
        blocked.setdefault(int(level), nothing)
    return Step(s, found.multipliers / length, blocked, found.ok)


@dataclass(slots=True)
class _Cascade:
    """(G1)-(G3) in unit rows and free unknowns; ``length`` of the rows as they were."""

    goals: Goals
    length: Array
    low: Array
    high: Array
    hessian: Array
    gradient: Array

    def run(self, guess: tuple[int, ...]) -> Step:
        """With the levels of ``guess`` relaxed, with none, or found one by one."""
        for relaxed in dict.fromkeys((guess, ())):
            found = self._with(relaxed)
            if found is not None:
                return found
        g, n = self.goals, self.low.size
        slack, last, needed = np.zeros(g.lo.size), np.zeros(n), []
        nothing, proximal = np.zeros(g.lo.size), _PROXIMAL * np.eye(n)
        for level in np.unique(g.level):
            upto, lo, hi = g.level <= level, g.lo - slack, g.hi + slack
            s, _, ok = self._solve(proximal, np.zeros(n), g.a[upto], lo[upto], hi[upto])
            if ok:
                last = s
                continue
            relief = self._soften(int(level), slack)
            if relief is None:
                return Step(last, nothing, {}, False)
            last, slack[g.level == level], _ = relief
            needed.append(int(level))
        return self._with(tuple(needed)) or Step(last, nothing, {}, True)

    def _with(self, relaxed: tuple[int, ...]) -> Step | None:
        """(G2) for the ``relaxed`` levels only, then (G3); None if that does not do."""
        g = self.goals
        slack = np.zeros(g.lo.size)
        blocked: dict[int, tuple[IntArray, IntArray]] = {}
        for level in sorted(relaxed):
            relief = self._soften(level, slack)
            if relief is None:
                return None
            _, slack[g.level == level], blocked[level] = relief
        lo, hi = g.lo - slack, g.hi + slack
        # what a tolerance leaves open is for other goals, not for the objective
        pulled = (np.minimum(slack, g.tolerance) > 0.0) & ((g.lo > 0.0) | (g.hi < 0.0))
        rows = g.a[pulled]
        edge = np.where(g.lo > 0.0, g.lo, g.hi)[pulled]
        h, f = self.hessian + _PULL * rows.T @ rows, self.gradient - _PULL * rows.T @ edge
        s, lam, ok = self._solve(h, f, g.a, lo, hi)
        return Step(s, lam[self.low.size :], blocked, True) if ok else None

    def _soften(
        self, level: int, slack: Array
    ) -> tuple[Array, Array, tuple[IntArray, IntArray]] | None:
        """(G2) for one level: step, slacks, and what stood in the way."""
        g, n = self.goals, self.low.size
        mine, above = g.level == level, g.level < level
        k, fixed = int(np.sum(mine)), int(np.sum(above))
        price = (self.length[mine] / np.max(self.length[mine])) ** 2
        rows = np.zeros((fixed + 2 * k, n + k))
        rows[:fixed, :n] = g.a[above]
        rows[fixed:, :n] = np.vstack((g.a[mine], g.a[mine]))
        rows[fixed : fixed + k, n:], rows[fixed + k :, n:] = -np.eye(k), np.eye(k)
        far, lo, hi = np.full(k, _FAR), g.lo - slack, g.hi + slack
        s, lam, ok = self._solve(
            np.diag(np.append(np.full(n, _PROXIMAL), price)),
            np.zeros(n + k),
            rows,
            np.concatenate((lo[above], -far, lo[mine])),
            np.concatenate((hi[above], hi[mine], far)),
            slacks=k,
        )
        if not ok:
            return None
        least = _FELT * float(np.max(np.abs(lam), initial=0.0))
        sides = np.where(np.abs(lam) > least, np.sign(lam), 0.0).astype(int)
        by_rows = np.zeros(mine.size, dtype=int)
        by_rows[above] = sides[n + k : n + k + fixed]
        e = s[n:] + np.minimum(s[n:], g.tolerance[mine]) + _LOOSE
        return s[:n], e, (sides[:n], by_rows)

    def _solve(
        self, h: Array, f: Array, a: Array, lo: Array, hi: Array, slacks: int = 0
    ) -> tuple[Array, Array, bool]:
        """Solution, multipliers of bounds and rows, and whether there is one."""
        upper = np.concatenate((self.high, np.full(slacks, _FAR), hi))
        lower = np.concatenate((self.low, np.zeros(slacks), lo))
        if f.size == 0:
            return f, np.zeros(upper.size), bool(np.all(lower <= 0.0) and np.all(upper >= 0.0))
        sense = np.zeros(upper.size, dtype=np.int32)
        found: tuple[Any, Any, int, Any] = daqp.solve(
            h, f, a, upper, lower, sense, primal_tol=_TOLERANCE
        )
        s = np.asarray(found[0])
        ok = found[2] >= 1 and bool(np.all(np.isfinite(s)))
        return s, np.asarray(found[3]["lam"]), ok
