"""Fuzzed cycles: a plant that fails and lies, operators who err, an algorithm that goes wrong.

One run is one seed. Each cycle things may befall the plant, its link, the algorithm or the people;
the real supervision decides, `WriteGate` writes into the plant, and a judge is told everything that
was to be seen. The judge is given from outside: it knows nothing of the code that it judges.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from controller.cycle_data import CycleInputs
from controller.data import Estimate, Mode, Plan, ReachedBy
from controller.supervision.findings import LinkStatus
from controller.supervision.gate import WriteGate
from controller.supervision.modes import ModeRequest
from plant_models.signals import MV, Snapshot, is_good
from tools.benchmarks.supervision_events import Befalls
from tools.benchmarks.supervision_plant import FuzzPlant, WriteFault
from tools.benchmarks.supervision_rig import AdvisedMove, Outcome, Rig, Thought
from tools.benchmarks.supervision_scene import OWNED, Scene

__all__ = ["Controller", "CycleLog", "Fuzz", "Judge", "Planned"]

START = 1_700_000_000.0
_NO_ARRAY = np.zeros(1)

Result = TypeVar("Result")


class Judge(Protocol):
    """Who says what was unsafe; `tests/controller/supervision/oracle.py` has one."""

    def judge(self, log: Any) -> list[str]:
        """Rules that were broken in this cycle."""
        ...

    def restart(self, epoch: int) -> None:
        """The controller is another start."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the algorithm planned: for when, how old, whether solved, first set points [SI]."""

    time: float
    age_cycles: int
    solved: bool
    moves: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class CycleLog:
    """What was to be seen of one cycle from outside.

    ``time`` counts the plant's seconds, ``clock`` is what its clock showed. ``shown`` is what the
    plant's read returned (None: no answer), ``asked`` what operators asked for (mode, user, role,
    reason); ``trouble`` says that the last write was known to have failed.
    """

    clock: float
    shown: Mapping[str, Any] | None
    disagreements: bool
    asked: list[tuple[str, str, str, str]]
    time: float = 0.0
    plan: Planned | None = None
    converged: bool | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    advice: AdvisedMove | None = None
    trouble: bool = False
    received: list[Mapping[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, ...]] = field(default_factory=list)


class Controller(Protocol):
    """One start of a controller, as the fuzz drives it: `Rig` or `CycleRig`."""

    limits: Mapping[str, tuple[float, float]]
    targets: Mapping[str, float]
    epoch: int

    @property
    def mode(self) -> Mode:
        """Mode after the last cycle."""
        ...

    @property
    def time(self) -> float:
        """Time of the last cycle [s, UTC]; it goes on with the plant's heartbeat."""
        ...

    @property
    def lost(self) -> bool:
        """Whether only a new start brings it back."""
        ...

    def step(self, inputs: CycleInputs, think: Thought, advice: AdvisedMove | None) -> Outcome:
        """One cycle."""
        ...


@dataclass(slots=True)
class Fuzz:
    """One run. ``start`` makes the controller, from setup, epoch and targets.

    ``frames``, ``orders`` and ``unsafe`` count cycles; ``broken`` names what was unsafe.
    """

    scene: Scene
    judge: Judge
    seed: int
    start: Callable[..., Controller] = Rig
    rig: Controller = field(init=False)
    plant: FuzzPlant = field(init=False)
    gate: WriteGate = field(init=False)
    befalls: Befalls = field(init=False)
    random: random.Random = field(init=False)
    epoch: int = 0
    cycles: int = 0
    frames: int = 0
    orders: int = 0
    unsafe: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    _refusal: str = ""
    _trouble: str = ""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.epoch = 1000 * (self.seed % 100_000) + 1
        self.plant = FuzzPlant(self.scene.parameters, self.scene.table, START)
        self.befalls = Befalls(self.random, self.plant, self.scene.table)
        self._start()

    def _start(self) -> None:
        """Another start of the controller."""
        self.rig = self.start(
            self.scene.setup, self.epoch, dict(self.scene.setup.targets.set_points)
        )
        self.gate = WriteGate(self.plant, self.plant)
        self.judge.restart(self.epoch)
        self._refusal = self._trouble = ""

    def run(self, cycles: int) -> None:
        """So many more cycles."""
        for _ in range(cycles):
            self.cycle()

    def cycle(self) -> list[str]:
        """One cycle; the rules that it broke."""
        self.cycles += 1
        happens, plant = self.befalls, self.plant
        happens.step(self.cycles)
        if happens.restart or self.rig.lost:
            happens.restart = False
            self.epoch += 1
            self._start()
        plant.tick(happens.seconds)
        snapshot = plant.read(self.cycles) if happens.linked else None
        self.rig.limits, self.rig.targets = happens.limits, happens.targets
        asked = self._ask()
        advice = self._accept(snapshot)
        log = CycleLog(
            clock=plant.time,
            shown=None if snapshot is None else snapshot.values,
            disagreements=happens.disagrees,
            asked=[(str(r.mode), r.user, r.role, r.reason) for r in asked],
            trouble=bool(self._trouble),
        )
        inputs = CycleInputs(
            snapshot=snapshot,
            requests=tuple(asked),
            link=LinkStatus(
                connected=snapshot is not None,
                alive=snapshot is not None,
                disagreements=("a unit",) if happens.disagrees else (),
            ),
            refusal=self._refusal,
            write_trouble=self._trouble,
        )
        self._refusal = self._trouble = ""

        def think(mode: Mode, seen: Snapshot) -> tuple[Estimate | None, Plan | None]:
            return self._think(mode, seen, log)

        outcome = self.rig.step(inputs, think, advice)
        log.time, log.advice = self.rig.time, outcome.advice
        log.targets, log.limits = self.rig.targets, self.rig.limits
        if snapshot is not None:
            self._act(outcome)
        log.received, plant.received = plant.received, []
        log.calls, plant.calls = plant.calls, []
        return self._judge(log)

    def _judge(self, log: CycleLog) -> list[str]:
        broken = self.judge.judge(log)
        if any(len(batch) > 2 for batch in log.received):
            self.frames += 1
        self.orders += any(call[0] == "OperatorSet" for call in log.calls)
        if broken:
            self.unsafe += 1
            for text in broken:
                self.broken[text] = self.broken.get(text, 0) + 1
        return broken

    def _act(self, outcome: Outcome) -> None:
        """What the runtime does with a cycle's outcome."""
        plant = self.plant
        try:
            codes = _now(self.gate.send(outcome.command, outcome.authority))
            if not all(is_good(code) for code in codes.values()):
                self._trouble = "not written"
            if outcome.request_control is not None:
                answer = plant.request_control(outcome.request_control, self.rig.epoch, "fuzz")
                self._refusal = "" if answer == "granted" else answer
            for order in outcome.orders:
                _now(self.gate.order(order))
            _now(self.gate.beat(self.cycles, outcome.mode))
        except WriteFault as error:
            self._trouble = str(error)

    # People

    def _ask(self) -> list[ModeRequest]:
        """What operators ask for: mostly back up, sometimes anything."""
        dice, mode = self.random, self.rig.mode
        found = []
        if dice.random() < 0.03:
            found.append(
                ModeRequest(
                    mode=dice.choice(list(Mode)),
                    user=dice.choice(("ada", "bo", "")),
                    role=dice.choice(("operator", "supervisor", "observer", "engineer", "")),
                    reason=dice.choice(("because", " x ", "")),
                )
            )
        up = {Mode.OFF: Mode.MONITORING, Mode.MONITORING: Mode.ADVISORY, Mode.SHED: Mode.ADVISORY}
        wanted = up.get(mode, Mode.CLOSED_LOOP)
        if mode is not Mode.CLOSED_LOOP and dice.random() < 0.6:
            found.append(ModeRequest(mode=wanted, user="ada", role="operator", reason="back up"))
        return found

    def _accept(self, snapshot: Snapshot | None) -> AdvisedMove | None:
        """An operator accepts an advice, good or bad, now and then."""
        dice = self.random
        chance = 0.25 if self.rig.mode is Mode.ADVISORY else 0.004
        if snapshot is None or dice.random() >= chance:
            return None
        tag = dice.choice(OWNED)
        limit = self.scene.parameters.limits[tag]
        spec = self.scene.table.mv(tag)
        step = spec.rate * self.scene.setup.config.period_s
        now = self.plant.image[f"{tag}/ACT"].value
        at = now if isinstance(now, float) else spec.nominal
        targets, time = self.befalls.targets, self.rig.time
        advice = AdvisedMove(
            mv=tag,
            value=at + step * dice.uniform(-1.0, 1.0),
            now=at,
            made=time - dice.choice((0.0, 5.0, 10.0)),
            expires=time + 10.0,
            computed_from=dict(targets),
            user="ada",
            role=dice.choice(("operator", "operator", "supervisor")),
            reason="sounds right",
        )
        if dice.random() < 0.55:
            return advice
        changes: tuple[dict[str, Any], ...] = (
            {"expires": time + dice.choice((0.0, 5.0))},
            {"made": time + 60.0},
            {"computed_from": {**targets, "potency": 0.97}},
            {"computed_from": {}},
            {"role": dice.choice(("observer", "quality", ""))},
            {"user": ""},
            {"reason": " "},
            {"now": at + 2.0 * step},
            {"now": at + 0.8 * step, "value": at + 1.2 * step},
            {"value": at + dice.choice((-3.0, 3.0)) * step},
            {"value": limit.hi * 2.0, "now": at},
            {"value": math.nan},
            {"mv": dice.choice((MV.FILL_DEPTH, MV.LUBRICANT_RATIO, "Line/Press/Nothing"))},
        )
        return replace(advice, **dice.choice(changes))

    # The algorithm

    def _think(
        self, mode: Mode, snapshot: Snapshot, log: CycleLog
    ) -> tuple[Estimate | None, Plan | None]:
        happens, dice = self.befalls, self.random
        log.converged = happens.converges
        estimate = _CONVERGED if happens.converges else _ASTRAY
        if mode not in (Mode.ADVISORY, Mode.CLOSED_LOOP) or happens.plan == "none":
            return estimate, None
        moves = {}
        for tag in OWNED:
            limit, mv = self.scene.parameters.limits[tag], self.plant.state.mvs[tag]
            step = limit.rate * self.scene.setup.config.period_s
            reach = 40.0 if dice.random() < 0.1 else 1.5
            moves[tag] = mv.act + step * dice.uniform(-reach, reach)
        age, time = 0, snapshot.time
        if happens.plan == "old":
            age = dice.choice((-1, 1, 5, 6, 7, 8, 50))
        elif happens.plan == "elsewhen":
            time += dice.choice((-3600.0, -40.0, -35.0, -30.0, -5.0, 1.0, 5.0, 3600.0, math.nan))
        elif happens.plan == "not a number":
            moves[dice.choice(OWNED)] = dice.choice((math.nan, math.inf, -math.inf))
        elif happens.plan == "partial":
            del moves[dice.choice(OWNED)]
        elif happens.plan == "foreign":
            tag = dice.choice((MV.BLENDER_SPEED, MV.LUBRICANT_RATIO, MV.FILL_DEPTH))
            moves[tag] = 1.01 * self.plant.state.mvs[tag].act
        elif happens.plan == "wild":
            moves[dice.choice(OWNED)] *= dice.choice((-1.0, 0.0, 1e3, 1e-3, 1e12))
        solved = happens.plan != "unsolved"
        log.plan = Planned(time=time, age_cycles=age, solved=solved, moves=moves)
        plan = Plan(
            time=time,
            times=_NO_ARRAY,
            moves={tag: np.array((value,)) for tag, value in moves.items()},
            reached_by=ReachedBy.FAST if solved else ReachedBy.SHIFTED,
            steps=1,
            solver_verdicts=(),
            cost=0.0,
            age_cycles=age,
        )
        return estimate, plan


def _estimate(converged: bool) -> Estimate:
    return Estimate(
        time=0.0,
        names=(),
        mean=_NO_ARRAY,
        covariance=_NO_ARRAY,
        quality={},
        converged=converged,
        normalised_innovation=1.0,
    )


_CONVERGED, _ASTRAY = _estimate(True), _estimate(False)


def _now(call: Coroutine[Any, Any, Result]) -> Result:
    """Result of a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    call.close()
    raise RuntimeError("a write into the fuzzed plant must not wait")
