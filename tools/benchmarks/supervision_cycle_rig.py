"""The whole control cycle of a controller under the fuzz: `run_cycle`, with nothing left out.

The algorithm's part comes from outside; operators accept what the controller itself advises.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.brain import Forced, Step
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleOutput, CycleSetup, CycleState, initial_state
from controller.data import Command, Mode, ReachedBy, Targets, Validated
from controller.supervision.advice_data import AdviceAction, AdviceRequest
from controller.supervision.permissives import Name
from controller.supervision.supervisor import SupervisionState
from plant_models.signals import Snapshot
from tools.benchmarks.supervision_rig import AdvisedMove, Outcome, Thought

__all__ = ["CycleRig"]

_PATIENCE = 8  # cycles
_TAKEN = Forced(estimator_steps=0, optimiser_steps=0, reached_by=ReachedBy.FAST)


@dataclass(slots=True)
class _Thinker:
    """An algorithm that asks the fuzz; what it is to think with is set before each cycle."""

    manipulated: tuple[str, ...]
    name: str = "fuzz"
    think: Thought | None = None
    snapshot: Snapshot | None = None

    def initial(self) -> None:
        return None

    def prepare(self, state: Any) -> None:
        return None

    def step(
        self,
        state: Any,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        if self.think is None or self.snapshot is None:
            raise RuntimeError("the fuzz has not said what to think")
        estimate, plan = self.think(mode, replace(self.snapshot, time=validated.time))
        return Step(state=None, estimate=estimate, forecast=None, plan=plan, taken=_TAKEN)


@dataclass(slots=True)
class CycleRig:
    """One start of a controller; ranges of operator and product are not narrowed here."""

    setup: CycleSetup
    epoch: int
    targets: Mapping[str, float]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    state: CycleState = field(init=False)
    dice: random.Random = field(init=False)
    _brain: _Thinker = field(init=False)

    def __post_init__(self) -> None:
        self._brain = _Thinker(tuple(self.setup.brain.manipulated))
        advice = self.setup.config.supervision.advice.model_copy(update={"accept": "operator_set"})
        supervision = self.setup.config.supervision.model_copy(update={"advice": advice})
        config = self.setup.config.model_copy(update={"supervision": supervision})
        oversight = replace(self.setup.oversight, config=supervision)
        self.setup = replace(self.setup, brain=self._brain, config=config, oversight=oversight)
        self.state = initial_state(self.setup, self.epoch)
        self.dice = random.Random(self.epoch)

    @property
    def lost(self) -> bool:
        """Whether only a new start brings this controller back: nothing proves an instrument."""
        found = self.state.supervision.permissives.get(Name.INSTRUMENTS)
        return found is not None and found.lost_cycles > _PATIENCE

    @property
    def mode(self) -> Mode:
        """Mode after the last cycle."""
        return self.state.mode

    @property
    def time(self) -> float:
        """Plant time of the last cycle."""
        return self.state.time

    @property
    def supervision(self) -> SupervisionState:
        """What supervision remembers."""
        return self.state.supervision

    @property
    def last(self) -> Command | None:
        """Command of the last cycle."""
        return self.state.last_command

    def step(self, inputs: CycleInputs, think: Thought, advice: AdvisedMove | None) -> Outcome:
        """One cycle; what operators accept is drawn from what is advised, not from ``advice``."""
        self._brain.think, self._brain.snapshot = think, inputs.snapshot
        accepted, asked = self._accept()
        output = run_cycle(
            replace(inputs, operator_requests=asked), self.state, self.setup, _no_time
        )
        self.state = output.state
        self.limits, self.targets = output.state.targets.limits, output.state.targets.set_points
        return _outcome(output, accepted)

    def _accept(self) -> tuple[AdvisedMove | None, tuple[AdviceRequest, ...]]:
        current, dice = self.state.oversight.advice.current, self.dice
        if not current or dice.random() < 0.7:
            return None, ()
        advice = dice.choice(current)
        request = AdviceRequest(
            id=advice.id,
            action=AdviceAction.ACCEPT,
            user="ada",
            role=dice.choice(("operator", "supervisor", "observer")),
            reason=dice.choice(("sounds right", "sounds right", " ")),
        )
        move = AdvisedMove(
            mv=advice.mv,
            value=advice.value,
            now=advice.now,
            made=advice.made,
            expires=advice.expires,
            computed_from=advice.computed_from,
            user=request.user,
            role=request.role,
            reason=request.reason,
        )
        return move, (request,)


def _outcome(output: CycleOutput, accepted: AdvisedMove | None) -> Outcome:
    return Outcome(
        mode=output.state.mode,
        command=output.command,
        authority=output.authority,
        request_control=output.request_control,
        orders=tuple(o.order for o in output.orders),
        advice=accepted,
    )


def _no_time() -> float:
    return 0.0
