"""A line at rest for tests of advice and readiness: data of a cycle without plant or solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from controller.advice_config import AdviceConfig
from controller.data import (
    CV,
    Estimate,
    Forecast,
    Interval,
    Mode,
    Plan,
    ReachedBy,
    SteadyReport,
    Validated,
)
from controller.supervision.advice import (
    AcceptedAdvice,
    AdviceAction,
    AdviceRequest,
    AdviceState,
    advise,
    handle_advice_requests,
)
from controller.supervision.requests import Answered
from plant_models.signals import MV, LineState, PlcMode, RefillPhase, Snapshot, Value
from tests.controller.kit import OWNED, PERIOD, START, TABLE, TARGETS

STAGES = 120
TIMES = np.arange(STAGES, dtype=float) * PERIOD
NOMINAL = {m.tag: m.nominal for m in TABLE.manipulated}
STEP = {m.tag: m.rate * PERIOD for m in TABLE.manipulated}
HALF = {
    CV.POTENCY.value: 0.004,
    CV.TABLET_WEIGHT.value: 0.8e-6,
    CV.TENSILE_STRENGTH.value: 0.04e6,
    CV.THROUGHPUT.value: 0.03 / 3600.0,
}


def si(mv: str, value: float) -> float:
    """A plant unit's value in SI."""
    return TABLE[f"{mv}/ACT"].to_si(value)


def snapshot(
    cycle: int = 1, actual: Mapping[str, float] = NOMINAL, limits: Mapping[str, float] | None = None
) -> Snapshot:
    """What was read in a cycle: set points in use and the plant's clamps, plant units."""
    values: dict[str, float] = {}
    for m in TABLE.manipulated:
        values |= {
            f"{m.tag}/ACT": actual.get(m.tag, m.nominal),
            f"{m.tag}/LO": m.lo,
            f"{m.tag}/HI": m.hi,
            f"{m.tag}/RATE_UP": STEP[m.tag],
            f"{m.tag}/RATE_DN": STEP[m.tag],
        }
    time = START + PERIOD * cycle
    return Snapshot(
        time=time,
        scan_id=PERIOD * cycle,
        values={tag: Value(v, 0, time) for tag, v in (values | dict(limits or {})).items()},
    )


def validated(
    seen: Snapshot,
    *,
    line_state: LineState = LineState.RUNNING,
    lost: frozenset[str] = frozenset(),
) -> Validated:
    """The same after validation; ``lost`` MVs are not available."""
    tags = [m.tag for m in TABLE.manipulated]
    return Validated(
        time=seen.time,
        scan_id=seen.scan_id,
        heartbeat=seen.scan_id,
        plc_mode=PlcMode.LOCAL,
        line_state=line_state,
        permit=True,
        lease_epoch=0,
        measurements={},
        actual={t: si(t, seen.number(f"{t}/ACT") or 0.0) for t in tags},
        available={t: t in OWNED and t not in lost for t in tags},
        feeder_rates=(),
        refills=(RefillPhase.NONE,) * 3,
        lots=(),
        samples=(),
        enough=True,
        missing=(),
    )


def plan(
    seen: Snapshot,
    first: Mapping[str, float],
    later: Mapping[str, float] | None = None,
    *,
    reached_by: ReachedBy = ReachedBy.FAST,
    target: SteadyReport | None = None,
) -> Plan:
    """A plan with the ``first`` set points (plant units) that leads to the ``later`` ones."""
    moves = {}
    for tag in OWNED:
        now = seen.number(f"{tag}/ACT") or 0.0
        begin = first.get(tag, now)
        end = (later or {}).get(tag, begin)
        row = np.full(STAGES, si(tag, end))
        row[0] = si(tag, begin)
        moves[tag] = row
    return Plan(
        time=seen.time,
        times=TIMES,
        moves=moves,
        reached_by=reached_by,
        steps=2,
        solver_verdicts=(),
        cost=1.0,
        target=target,
    )


def forecast(
    free: Mapping[str, float] | None = None, planned: Mapping[str, float] | None = None
) -> Forecast:
    """Constant responses, SI; by default all is on target."""
    series = {}
    for cv, wanted in TARGETS.set_points.items():
        a = np.full(STAGES, (free or {}).get(cv, wanted))
        b = np.full(STAGES, (planned or {}).get(cv, wanted))
        series[str(cv)] = (a, b, np.full(STAGES, HALF[str(cv)]))
    return Forecast(times=TIMES + PERIOD, series=series)


def estimate(values: Mapping[str, float] | None = None, *, converged: bool = True) -> Estimate:
    """What is estimated now, SI; by default all is on target."""
    points = {**TARGETS.set_points, **(values or {})}
    return Estimate(
        time=START,
        names=(),
        mean=np.zeros(0),
        covariance=np.zeros((0, 0)),
        quality={str(cv): Interval(v, HALF[str(cv)]) for cv, v in points.items()},
        converged=converged,
        normalised_innovation=1.0,
    )


FINE = AdviceConfig(dead_band_steps=0.1, change_steps=0.3)


class Desk:
    """An operator's view: one cycle after the other, requests at their beginning."""

    def __init__(self, config: AdviceConfig | None = None) -> None:
        self.config = config or FINE
        self.state, self.cycle = AdviceState(), 0
        self.actual = dict(NOMINAL)
        self.targets, self.mode = TARGETS, Mode.ADVISORY
        self.stages = STAGES
        self.line_state, self.lost = LineState.RUNNING, frozenset[str]()
        self.refills: tuple[RefillPhase, ...] = (RefillPhase.NONE,) * 3
        self.answers: tuple[Answered, ...] = ()
        self.accepted: tuple[AcceptedAdvice, ...] = ()

    def step(
        self,
        first: Mapping[str, float] | None = None,
        later: Mapping[str, float] | None = None,
        *requests: AdviceRequest,
        free: Mapping[str, float] | None = None,
        reached_by: ReachedBy = ReachedBy.FAST,
        target: SteadyReport | None = None,
        limits: Mapping[str, float] | None = None,
        silent: bool = False,
    ) -> AdviceState:
        """One cycle with this plan; ``silent`` is one in which nothing was read."""
        self.cycle += 1
        seen = snapshot(self.cycle, self.actual, limits)
        data = validated(seen, line_state=self.line_state, lost=self.lost)
        data = replace(data, refills=self.refills)
        self.state, self.answers, self.accepted = handle_advice_requests(
            self.state,
            requests,
            validated=None if silent else data,
            targets=self.targets,
            mode=self.mode,
            time=seen.time,
            period_s=PERIOD,
            table=TABLE,
            config=self.config,
            objection=_objection,
        )
        made = plan(seen, first or {}, later, reached_by=reached_by, target=target)
        self.state = advise(
            self.state,
            plan=None if silent else self._shortened(made),
            forecast=forecast(free),
            estimate=estimate(free),
            validated=None if silent else data,
            snapshot=seen,
            targets=self.targets,
            mode=self.mode,
            period_s=PERIOD,
            table=TABLE,
            config=self.config,
        )
        return self.state

    def _shortened(self, made: Plan) -> Plan:
        moves = {tag: row[: self.stages] for tag, row in made.moves.items()}
        return replace(made, times=made.times[: self.stages], moves=moves)

    def move_target(self, variable: str, value: float) -> None:
        """Another target, SI."""
        self.targets = replace(
            self.targets, set_points={**self.targets.set_points, variable: value}
        )


def _objection(user: str, role: str, reason: str) -> str:
    if role != "operator":
        return f"{user} has the role {role}"
    return "" if reason.strip() else "a reason is needed"


def ask(number: int, action: str, user: str = "op", role: str = "operator") -> AdviceRequest:
    """An operator's word."""
    return AdviceRequest(
        id=number, action=AdviceAction(action), user=user, role=role, reason="test of advice"
    )


THICKER = {MV.THICKNESS: NOMINAL[MV.THICKNESS] + STEP[MV.THICKNESS]}
