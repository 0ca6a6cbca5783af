"""Elementary functions over numbers, numpy arrays and CasADi symbols alike.

One equation serves the twin (symbolic, differentiable) and the plant simulator (numeric): every
model function calls these instead of ``numpy`` or ``casadi`` directly.
"""

from __future__ import annotations

from typing import Any

import casadi as ca
import numpy as np

# A float, a numpy array, or a CasADi SX/MX/DM: what a model function takes and returns.
Expr = Any

__all__ = ["Expr", "exp", "is_symbolic", "log", "maximum", "minimum", "sqrt", "where"]

_SYMBOLIC = (ca.SX, ca.MX, ca.DM)


def is_symbolic(*values: Expr) -> bool:
    """Whether any of ``values`` is a CasADi object."""
    return any(isinstance(v, _SYMBOLIC) for v in values)


def exp(x: Expr) -> Expr:
    """Exponential."""
    return ca.exp(x) if is_symbolic(x) else np.exp(x)


def log(x: Expr) -> Expr:
    """Natural logarithm."""
    return ca.log(x) if is_symbolic(x) else np.log(x)


def sqrt(x: Expr) -> Expr:
    """Square root."""
    return ca.sqrt(x) if is_symbolic(x) else np.sqrt(x)


def maximum(a: Expr, b: Expr) -> Expr:
    """Larger of the two, element by element."""
    return ca.fmax(a, b) if is_symbolic(a, b) else np.maximum(a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """Smaller of the two, element by element."""
    return ca.fmin(a, b) if is_symbolic(a, b) else np.minimum(a, b)


def where(condition: Expr, yes: Expr, no: Expr) -> Expr:
    """``yes`` where ``condition`` holds, else ``no``; both must be finite."""
    if is_symbolic(condition, yes, no):
        return ca.if_else(condition, yes, no)
    return np.where(condition, yes, no)
