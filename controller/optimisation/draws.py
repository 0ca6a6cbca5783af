"""Draws of what else may be true, from the estimate's covariance: few, and without a generator.

With the spread ``G`` of the outputs by unit directions of the covariance (`backoff`, U3), in the
scales of the objective,

(V1)  sum_j G_j' G_j v_i = lambda_i v_i,   lambda_1 >= lambda_2 >= ...
(V2)  e = +-sqrt(r + 1/2) v_i,   i = 1..r,   and e = 0,   each with weight 1 / (2 r + 1)
(V3)  x_0 + L_x e,   p + L_p e

So ``2 r`` draws lie where the outputs spread most, in pairs about the estimate. Their weighted mean
is the estimate and their weighted covariance that of the estimate in the ``r`` directions: the mean
of any quadratic cost is exact there, where as many random draws would miss it by their scatter,
which for a variance is sqrt(2/K), half of it for eight. What other directions would add to the
outputs' variance, the rest of the ``lambda``, is left out. A set of equations and no random number:
the same estimate gives the same draws, on any day and in a replay.

References
----------
[1] S. J. Julier & J. K. Uhlmann, Unscented filtering and nonlinear estimation, Proc IEEE 92 (2004)
    401-422: points and weights of (V2) for ``r`` dimensions (from memory).
[2] J. M. Hammersley & K. W. Morton, A new Monte Carlo technique: antithetic variates, Math Proc
    Camb Philos Soc 52 (1956) 449-475: the pairs (from memory).
[3] D. T. Pham, Stochastic methods for sequential data assimilation in strongly nonlinear systems,
    Mon Weather Rev 129 (2001) 1194-1207: points in the leading directions only (from memory).
"""

from __future__ import annotations

import numpy as np

from controller.data import Array
from controller.optimisation.backoff import Factor
from controller.optimisation.problem import Draws, OcpProblem

__all__ = ["captured", "sigma_points"]

_LEAST = 1e-6  # of a state: masses and fractions are positive


def sigma_points(problem: OcpProblem, factor: Factor, spread: Array, count: int) -> Draws:
    """At most ``count`` draws (V3) for ``problem``.

    Parameters
    ----------
    problem
        Gives the estimate's mean.
    factor
        Square root of its covariance.
    spread
        ``(N, rows, m)`` of outputs by the factor's columns, each in the scale in which it counts.
    count
        Draws wanted; an odd one is rounded down, and there are never more than two per direction.

    Returns
    -------
    The draws; the nominal keeps the weight of one of them.
    """
    flat = spread.reshape(-1, spread.shape[2])
    _, vectors = np.linalg.eigh(flat.T @ flat)  # (V1), growing
    pairs = min(count // 2, flat.shape[1])
    e = np.sqrt(pairs + 0.5) * vectors[:, ::-1][:, :pairs].T  # (V2)
    e = np.concatenate((e, -e))
    x0 = np.maximum(problem.x0 + e @ factor.x.T, _LEAST)  # (V3)
    weights = np.full(2 * pairs, 1.0 / (2 * pairs + 1))
    return Draws(x0, problem.p + e @ factor.p.T, weights)


def captured(spread: Array, count: int) -> float:
    """Share of the outputs' variance, in the given scales, that ``count`` draws reproduce."""
    flat = spread.reshape(-1, spread.shape[2])
    values = np.linalg.eigvalsh(flat.T @ flat)[::-1]
    total = float(np.sum(values))
    return float(np.sum(values[: count // 2])) / total if total > 0.0 else 1.0
