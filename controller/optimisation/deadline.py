"""A deadline for IPOPT that may differ from call to call."""

from __future__ import annotations

import time
from typing import Any

import casadi as ca

__all__ = ["Deadline"]


class Deadline(ca.Callback):
    """Stops IPOPT at the deadline of the call; its own limit is fixed when it is built."""

    def __init__(self) -> None:
        ca.Callback.__init__(self)
        self.late = False
        self._end = float("inf")

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Deadline:
        """Itself: do-mpc copies its settings, but there is one clock."""
        return self

    def attach(self, unknowns: int, constraints: int, parameters: int) -> None:
        """Finish the construction, once the size of the problem is known."""
        self._sizes = (unknowns, 1, constraints, unknowns, constraints, parameters)
        self.construct("deadline", {})

    def until(self, seconds: float) -> None:
        """Start the time of one call [s]."""
        self.late, self._end = False, time.perf_counter() + seconds

    def get_n_in(self) -> int:
        """Results of the solver so far."""
        return len(self._sizes)

    def get_n_out(self) -> int:
        """Whether to stop."""
        return 1

    def get_name_in(self, i: int) -> str:
        """Names that CasADi expects."""
        return str(ca.nlpsol_out(i))

    def get_name_out(self, _: int) -> str:
        """Name that CasADi expects."""
        return "ret"

    def get_sparsity_in(self, i: int) -> Any:
        """Shapes of the solver's results."""
        return ca.Sparsity.dense(self._sizes[i], 1)

    def eval(self, _: Any) -> list[int]:
        """1 stops the solver."""
        self.late = time.perf_counter() > self._end
        return [int(self.late)]
