"""What a control algorithm offers to the cycle: one step from validated data to a plan.

The optimising controller and the conventional ones stand behind the same protocol, so that they
share validation, supervision, the write gate and the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from controller.data import Estimate, Forecast, Mode, Plan, ReachedBy, Targets, Validated

__all__ = ["Brain", "Forced", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """What a recorded cycle did, to be done again in a replay whatever the clock says.

    ``estimator_steps`` and ``optimiser_steps`` are the Gauss-Newton steps taken; ``reached_by`` the
    rung of the solver chain that made the plan, ``solver_verdicts`` what the solvers said on the
    way to it.
    """

    estimator_steps: int
    optimiser_steps: int
    reached_by: ReachedBy
    solver_verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Outcome of one step: the algorithm's next state and what it found."""

    state: Any
    estimate: Estimate | None
    forecast: Forecast | None
    plan: Plan | None
    taken: Forced


class Brain(Protocol):
    """A control algorithm. Its state is data (picklable); the object itself never changes."""

    @property
    def name(self) -> str:
        """Short name, as in results."""
        ...

    @property
    def manipulated(self) -> tuple[str, ...]:
        """Tags of the MVs that the algorithm moves."""
        ...

    def initial(self) -> Any:
        """State before the first cycle."""
        ...

    def step(
        self,
        state: Any,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One cycle: estimate, forecast, plan.

        Called in every mode but OFF; in OFF only for a candidate that runs in shadow, which does
        not plan. ``deadline_s`` is the wall time left for solving; ``forced``
        replays what was done before. Never raises for solver trouble: the plan says how it was
        reached.
        """
        ...

    def prepare(self, state: Any) -> None:
        """Work ahead for the step after ``state``, while the plant is waited for.

        Only time may depend on whether it is called, never an outcome.
        """
        ...
