"""What befalls a fuzzed plant, its link, the algorithm and the limits: drawn, one thing at a time.

Most things last a few cycles and end by themselves; several may hold at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from plant_models.signals import APC, BAD, MV, PLC, UNCERTAIN, LineState, SignalTable, Value
from tools.benchmarks.supervision_plant import FORCE, FuzzPlant

__all__ = ["Befalls"]

_TARGETS = {"potency": 1.0, "throughput": 20.0 / 3600.0}
_PLANS = ("none", "old", "elsewhen", "not a number", "partial", "wild", "foreign", "unsolved")
_CLAMPS = ("LO", "HI", "RATE_UP", "RATE_DN")


@dataclass(slots=True)
class Befalls:
    """The state of what befalls; `step` once per cycle.

    Attributes
    ----------
    linked : bool
        Whether the plant answers.
    disagrees : bool
        Whether the server's units or ranges are not ours.
    seconds : int
        Plant time that passes before this cycle.
    plan : str
        What is wrong with the algorithm's plan.
    converges : bool
        Whether its estimate does.
    restart : bool
        Whether the controller is to start anew; whoever does so takes it back.
    limits : mapping
        Ranges of operator and product by MV tag, SI.
    targets : mapping
        Set points of the CVs, SI.
    chance : float
        Per cycle that something befalls.
    """

    random: random.Random
    plant: FuzzPlant
    table: SignalTable
    linked: bool = True
    disagrees: bool = False
    seconds: int = 5
    plan: str = ""
    converges: bool = True
    restart: bool = False
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=lambda: dict(_TARGETS))
    chance: float = 0.16
    cycle: int = 0
    _ends: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _events: tuple[Callable[[], None], ...] = field(init=False)
    _weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        rows: tuple[tuple[float, Callable[[], None]], ...] = (
            (8.0, self._bad_plan),
            (8.0, self._clamp_lies),
            (6.0, self._set_point_lies),
            (6.0, self._write_fails),
            (6.0, self._heartbeat_lies),
            (6.0, self._line_stops),
            (4.0, self._agreement_lost),
            (4.0, self._measurement_lost),
            (4.0, self._kept_local),
            (4.0, self._limits_change),
            (3.0, self._permit_lost),
            (3.0, self._estimate_astray),
            (3.0, self._solver_fails),
            (3.0, self._state_unreadable),
            (5.0, self._set_point_moved),
            (3.0, self._link_lost),
            (2.0, self._taken_over),
            (2.0, self._read_back_lies),
            (2.0, self._targets_change),
            (2.0, self._time_passes_otherwise),
            (1.0, self._restarts),
        )
        self._events = tuple(event for _, event in rows)
        self._weights = list(accumulate(weight for weight, _ in rows))

    def step(self, cycle: int) -> None:
        """End what is over, and let something happen now and then."""
        self.cycle, self.seconds = cycle, 5
        if self._ends:
            over = [end for until, end in self._ends if cycle > until]
            if over:
                self._ends = [item for item in self._ends if cycle <= item[0]]
                for end in over:
                    end()
        if self.random.random() < self.chance:
            self.random.choices(self._events, cum_weights=self._weights)[0]()

    def _until(self, longest: int = 6) -> int:
        """Last cycle of something that lasts: often one, sometimes many."""
        if self.random.random() < 0.4:
            return self.cycle
        return self.cycle + self.random.randrange(longest)

    def _for(self, until: int, end: Callable[[], None]) -> None:
        self._ends.append((until, end))

    def _mv(self) -> str:
        return self.random.choice(self.table.manipulated).tag

    # The plant's words

    def _show(self, tag: str, *changes: Callable[[Value], Value]) -> None:
        self.plant.lie(tag, self._until(), self.random.choice(changes))

    def _heartbeat_lies(self) -> None:
        dice, now = self.random, self.plant.state.heartbeat
        self._show(
            PLC.HB,
            _bad,
            _none,
            lambda v: replace(v, value=now),
            lambda v: replace(v, value=now - 100),
            lambda v: replace(v, source_time=v.source_time - dice.choice((3.5, 4.0, 30.0))),
            lambda v: replace(v, value=-5),
        )

    def _state_unreadable(self) -> None:
        tag = self.random.choice((PLC.MODE_ACT, PLC.LINE_STATE, APC.EPOCH, PLC.REJECTED_COUNT))
        other: dict[str, Callable[[Value], Value]] = {
            PLC.MODE_ACT: lambda v: replace(v, value="REMOTE"),
            PLC.LINE_STATE: lambda v: replace(v, value="held"),
            APC.EPOCH: lambda v: replace(v, value=7),
        }
        self._show(tag, _bad, _none, other.get(tag, _bad))

    def _permit_lost(self) -> None:
        if self.random.random() < 0.5:
            self._show(PLC.PERMIT, _bad, _none, _uncertain, lambda v: replace(v, value=False))
            return
        self.plant.line(LineState.HOLDING, "chute overflow")
        self._for(self._until(), lambda: self.plant.line(LineState.RUNNING))

    def _agreement_lost(self) -> None:
        if self.random.random() < 0.4:
            self.disagrees = True
            self._for(self._until(), self._agrees_again)
            return
        tag = self.random.choice((PLC.RECIPE_ID, PLC.MODEL_VERSION))
        self._show(tag, _bad, _none, lambda v: replace(v, value="another"))

    def _agrees_again(self) -> None:
        self.disagrees = False

    def _measurement_lost(self) -> None:
        self._show(FORCE, _bad, _none, lambda v: replace(v, value=math.nan))

    def _set_point_lies(self) -> None:
        tag = f"{self._mv()}/{self.random.choice(('ACT', 'ACT', 'AVAIL', 'SRC'))}"
        if tag.endswith("/ACT"):
            wrong = self.random.choice((math.nan, math.inf, -math.inf))
            self._show(tag, _bad, _none, _uncertain, lambda v: replace(v, value=wrong))
        elif tag.endswith("/AVAIL"):
            self._show(tag, _bad, _uncertain, lambda v: replace(v, value=False))
        else:
            self._show(tag, _bad, lambda v: replace(v, value="CONTROLLER"))

    def _clamp_lies(self) -> None:
        """Clamps and rates that are tighter, wider, crossed, in another unit or no number."""
        dice, part = self.random, self.random.choice(_CLAMPS)
        tag = f"{self._mv()}/{part}"
        wrong = dice.choice((math.nan, math.inf, -math.inf, -1.0))
        at = self.plant.image[tag.rsplit("/", 1)[0] + "/ACT"].value
        act = at if isinstance(at, float) else 1.0
        near = act + dice.uniform(-0.02, 0.02) * abs(act)
        self._show(
            tag,
            _bad,
            _none,
            _uncertain,
            lambda v: replace(v, value=wrong),
            lambda v: replace(v, value=-_number(v)),
            lambda v: replace(v, value=_number(v) * dice.choice((1e3, 1e-3))),
            lambda v: replace(v, value=near if part in ("LO", "HI") else 0.3 * _number(v)),
            lambda v: replace(v, value=near if part in ("LO", "HI") else 0.0),
            lambda v: replace(v, value=_number(v) * (3.0 if part != "LO" else 0.3)),
        )

    def _read_back_lies(self) -> None:
        self._show(
            f"{self._mv()}/REQ", _bad, _none, lambda v: replace(v, value=_number(v) * 1.01 + 1.0)
        )

    # What happens in the plant

    def _line_stops(self) -> None:
        dice = self.random
        state = dice.choice((LineState.HELD, LineState.HELD, LineState.STOPPED, LineState.ABORTED))
        self.plant.line(state)
        longest = dice.choice((3, 8, 25))
        self._for(self._until(longest), lambda: self.plant.line(LineState.RUNNING))

    def _taken_over(self) -> None:
        if self.random.random() < 0.8:
            self.plant.to_local()
            return
        self.plant.other_controller(self.random.randrange(10**9, 2 * 10**9))
        self._for(self.cycle + self.random.randrange(2, 8), self._begin_anew)

    def _begin_anew(self) -> None:
        """The other controller is gone, ours is started again with an epoch that is not revoked."""
        self.plant.to_local()
        self.restart = True

    def _restarts(self) -> None:
        self.restart = True

    def _kept_local(self) -> None:
        tag = self._mv()
        self.plant.keep_local(tag, True)
        self._for(self._until(), lambda: self.plant.keep_local(tag, False))

    def _set_point_moved(self) -> None:
        """A set point is found elsewhere, perhaps outside its range, or where no clamp holds it."""
        tag = self._mv()
        limit = self.plant.parameters.limits[tag]
        span = limit.hi - limit.lo
        end = self.random.choice((limit.lo, limit.hi))
        near = self.random.uniform(end - 0.02 * span, end + 0.02 * span)
        anywhere = self.random.uniform(limit.lo - 0.1 * span, limit.hi + 0.1 * span)
        self.plant.move(tag, self.random.choice((near, near, anywhere)))
        if self.random.random() < 0.3:
            until = self.cycle + self.random.randrange(8)
            self.plant.lie(f"{tag}/LO", until, lambda v: replace(v, value=0.3 * _number(v)))
            self.plant.lie(f"{tag}/HI", until, lambda v: replace(v, value=3.0 * _number(v)))

    def _write_fails(self) -> None:
        self.plant.write_fault = self.random.choice(("lost", "late", "denied", "altered"))

    def _link_lost(self) -> None:
        self.linked = False
        self._for(self._until(3), self._linked_again)

    def _linked_again(self) -> None:
        self.linked = True

    def _time_passes_otherwise(self) -> None:
        """A cycle is skipped, comes twice, or the plant's clock is set."""
        what = self.random.randrange(4)
        if what == 0:
            self.seconds = self.random.choice((0, 10, 20))
        elif what == 1:
            self.seconds = 0
        else:
            jump = self.random.choice((-3600.0, -300.0, -2.0, 2.0, 300.0, 3600.0))
            self._set_clock(jump)
            self._for(self._until(12), lambda: self._set_clock(-jump))

    def _set_clock(self, by: float) -> None:
        self.plant.offset += by

    # The controller's own

    def _bad_plan(self) -> None:
        self.plan = self.random.choice(_PLANS)
        self._for(self._until(3), self._plans_again)

    def _solver_fails(self) -> None:
        self.plan = "unsolved"
        self._for(self._until(9), self._plans_again)

    def _plans_again(self) -> None:
        self.plan = ""

    def _estimate_astray(self) -> None:
        self.converges = False
        self._for(self._until(9), self._converges_again)

    def _converges_again(self) -> None:
        self.converges = True

    def _limits_change(self) -> None:
        """Operator or product narrow a range: sensibly, around the set point, or not at all so."""
        dice, tag = self.random, self.random.choice((MV.MAIN_FORCE, MV.THICKNESS, MV.TOTAL_FEED))
        limit, act = self.plant.parameters.limits[tag], self.plant.state.mvs[tag].act
        span = limit.hi - limit.lo
        ranges = (
            (act - 0.01 * span, act + 0.01 * span),
            (act - 0.2 * span, act - 0.005 * span),
            (act + 0.005 * span, act + 0.2 * span),
            (limit.hi, limit.lo),
            (math.nan, limit.hi),
            (limit.hi * 2.0, limit.hi * 3.0),
        )
        self.limits = {**self.limits, tag: dice.choice(ranges)}
        self._for(self._until(12), lambda: self._drop_limit(tag))

    def _drop_limit(self, tag: str) -> None:
        self.limits = {t: v for t, v in self.limits.items() if t != tag}

    def _targets_change(self) -> None:
        self.targets = {**_TARGETS, "potency": self.random.choice((0.98, 1.0, 1.02))}


def _bad(v: Value) -> Value:
    return replace(v, status=BAD)


def _none(v: Value) -> Value:
    return Value(None, v.status, v.source_time)


def _uncertain(v: Value) -> Value:
    return replace(v, status=UNCERTAIN)


def _number(v: Value) -> float:
    return float(v.value) if isinstance(v.value, (int, float)) else 0.0
