"""Conventional control of the line: trims, ratio and level loops behind the protocol of a brain.

What a good plant runs in CASCADE, without an estimator of states and without an optimiser:

- weight and strength by at-line samples through thickness and force setting together, decoupled by
  the inverse of the press equations, dead time by internal model (`internal_model`);
- potency by gravimetric ratio on totals with refill feed-forward (`feed`); the NIR is an alarm, or
  a slow trim where the configuration says so;
- throughput by turret speed for the weight as it is now, level by the total feed (`feed`).

A move of the force setting carries the thickness that keeps the weight: both are planned for the
same cycle, each within its rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp

import numpy as np

from controller.baselines.feed import (
    Balance,
    BalanceTuning,
    FeederFlow,
    FeederSettings,
    advance_balance,
    advance_flow,
    advance_surplus,
)
from controller.baselines.internal_model import (
    LabTrim,
    OperatingRecord,
    PressModel,
    TrimTuning,
    update,
)
from controller.brain import Forced, Step
from controller.config import PidConfig
from controller.data import CV, Mode, Plan, ReachedBy, Targets, Validated
from plant_models import line as build
from plant_models.blender import hold_up_at
from plant_models.line import ResolvedLine
from plant_models.regulatory import limit_move
from plant_models.signals import MV, LineState, RefillPhase
from plant_models.units import to_si

__all__ = ["PidBrain", "PidState"]

_HISTORY_S = 900.0
_OBSERVED = (LineState.STARTING, LineState.RUNNING, LineState.RESTARTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PidState:
    """Everything that the loops remember."""

    history: tuple[OperatingRecord, ...]
    trim: LabTrim
    flows: tuple[FeederFlow, ...]
    surplus: float
    balance: Balance
    extent: float
    nir: float
    nir_trim: float
    settled_bias: float
    lots: tuple[str, ...]
    time: float | None = None


@dataclass(frozen=True, slots=True)
class _Limit:
    lo: float
    hi: float
    move: float


class PidBrain:
    """The conventional loops of one line.

    Parameters
    ----------
    line
        The line as configured.
    config
        Tuning.
    period
        Control period [s].
    """

    name = "pid"
    manipulated = (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED)

    def __init__(self, line: ResolvedLine, config: PidConfig, period: float) -> None:
        self._config, self._period = config, period
        self._model = PressModel(line)
        self._feeders = tuple(
            FeederSettings(
                overfeed=f.overfeed_percent / 100.0,
                decay=f.overfeed_decay_s,
                refill_time=f.refill_time_s,
                noise=f.weight_noise_g * 1e-3,
            )
            for f in line.line.feeders
        )
        self._api = line.feeder_index("api")
        self._filler = line.feeder_index("filler")
        self._recipe = build.recipe_fractions(line)
        self._flow = build.nominal_flow(line)
        self._stations = line.product.stations
        self._chute = line.line.chute.capacity_kg
        self._content = self._chute * line.line.chute.nominal_level_percent / 100.0
        blender = build.blender_parameters(line)
        frame = build.frame_parameters(line)
        self._age = hold_up_at(blender, self._flow, blender.speed_0) + self._content + frame.hold_up
        self._balance = BalanceTuning(
            blender_lag=1.0 / blender.rate_0,
            time_constant=config.balance_s,
            bias_max=config.balance_limit_percent / 100.0,
        )
        self._trim = TrimTuning(
            weight_gain=config.weight_gain,
            strength_gain=config.strength_gain,
            lot_arrives_s=config.lot_arrives_s,
            lot_settled_s=config.lot_settled_s,
        )
        self._limits = {
            m.tag: _Limit(
                to_si(m.lo, m.unit),
                to_si(m.hi, m.unit),
                to_si(m.move_per_5s, m.unit) * period / 5.0,
            )
            for m in line.line.manipulated
        }

    def initial(self) -> PidState:
        """State before the first cycle: the line as configured."""
        rates = (self._flow * x for x in self._recipe)
        return PidState(
            history=(),
            trim=LabTrim(),
            flows=tuple(FeederFlow(flow=r, mean=r, expected=r) for r in rates),
            surplus=0.0,
            balance=Balance(content=self._content, blended=self._flow, bias=0.0),
            extent=self._model.extent(self._flow),
            nir=1.0,
            nir_trim=0.0,
            settled_bias=0.0,
            lots=(),
        )

    def prepare(self, state: PidState) -> None:
        """Nothing to work ahead."""

    def step(
        self,
        state: PidState,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        """One cycle of all loops; nothing to solve, so ``deadline_s`` is never reached."""
        taken = Forced(estimator_steps=0, optimiser_steps=0, reached_by=ReachedBy.BASELINE)
        if validated.line_state not in _OBSERVED:
            hold = replace(state, time=validated.time, surplus=0.0)
            return Step(state=hold, estimate=None, forecast=None, plan=None, taken=taken)
        state = self._observe(state, validated, targets)
        moves = self._press(state, validated, targets)
        moves |= self._throughput(state, validated, targets, moves)
        moves |= self._ratio(state, validated, targets, moves[MV.TOTAL_FEED])
        plan = Plan(
            time=validated.time,
            times=np.zeros(1),
            moves={tag: np.array([moves[tag]]) for tag in self.manipulated},
            reached_by=ReachedBy.BASELINE,
            steps=0,
            solver_verdicts=self._alarms(state, targets),
            cost=0.0,
        )
        if mode is Mode.CLOSED_LOOP and self._config.nir_trim_s is not None:
            state = self._nir_trimmed(state, validated, targets, self._config.nir_trim_s)
        return Step(state=state, estimate=None, forecast=None, plan=plan, taken=taken)

    # what the loops see

    def _observe(self, state: PidState, v: Validated, targets: Targets) -> PidState:
        c = self._config
        dt = self._period if state.time is None else max(v.time - state.time, 0.0)
        dt = min(dt, 3.0 * self._period)
        flows = tuple(
            advance_flow(
                state.flows[i],
                settings,
                _good(v, f"Line/Feeder{i + 1}/Weight/PV"),
                v.feeder_rates[i],
                v.refills[i],
                dt,
                c.refill_feed_forward,
            )
            for i, settings in enumerate(self._feeders)
        )
        total = sum(f.flow for f in flows)
        extent = self._model.extent(max(total, 0.2 * self._flow))
        share = 1.0 - exp(-dt * total / self._age)
        record = self._record(state, v)
        history = (*(p for p in state.history if v.time - p.time <= _HISTORY_S), record)
        before = self._marked(state, v)
        trim = update(self._model, before.trim, self._trim, v.samples, history)
        balance = before.balance
        if v.samples and trim.samples == 0:
            # What the balance blamed on itself while the powder changed was the weight's.
            balance = replace(balance, bias=before.settled_bias)
        level = _good(v, "Line/Chute/Level/PV")
        nir = _good(v, "Line/FeedFrame/Potency/PV")
        smooth = 1.0 - exp(-dt / c.nir_filter_s)
        return PidState(
            history=history,
            trim=trim,
            flows=flows,
            surplus=advance_surplus(
                state.surplus, flows, self._api, self._share(state, targets), dt, c.surplus_leak_s
            ),
            balance=advance_balance(
                balance,
                self._balance,
                total,
                self._consumption(trim, record, v.actual[MV.TURRET_SPEED]),
                None if level is None else level * self._chute,
                dt,
            ),
            extent=state.extent + share * (extent - state.extent),
            nir=state.nir if nir is None else state.nir + smooth * (nir - state.nir),
            nir_trim=state.nir_trim,
            settled_bias=before.settled_bias,
            lots=v.lots,
            time=v.time,
        )

    def _marked(self, state: PidState, v: Validated) -> PidState:
        """``state`` with what began in this cycle: running, a new lot."""
        trim = state.trim
        running = v.line_state is LineState.RUNNING
        if running and trim.running_since > v.time:
            trim = replace(trim, running_since=v.time)
        if state.lots and v.lots != state.lots:
            trim = replace(trim, lot_time=v.time, restart=True)
            state = replace(state, settled_bias=state.balance.bias)
        return replace(state, trim=trim)

    def _record(self, state: PidState, v: Validated) -> OperatingRecord:
        running = v.line_state is LineState.RUNNING
        force = _good(v, "Line/Press/MainForce/PV")
        thickness = _good(v, f"{MV.THICKNESS}/FBK")
        return OperatingRecord(
            time=v.time,
            # The loop holds the mean at its set point; one revolution's mean scatters by 1.4 %.
            force=v.actual[MV.MAIN_FORCE] if running or force is None else max(force, 1.0),
            thickness=v.actual[MV.THICKNESS] if thickness is None else thickness,
            extent=state.extent,
        )

    def _consumption(self, trim: LabTrim, point: OperatingRecord, turret: float) -> float:
        weight = self._model.weight(point.force, point.thickness) * exp(trim.weight)
        return turret * self._stations * weight

    # what the loops do

    def _move(self, v: Validated, tag: str, wanted: float) -> float:
        """``wanted`` within range and rate; where the MV is not ours, what is in use."""
        actual = v.actual[tag]
        if not v.available.get(tag, False):
            return actual
        limit = self._limits[tag]
        return float(limit_move(wanted, actual, limit.lo, limit.hi, limit.move))

    def _press(self, state: PidState, v: Validated, targets: Targets) -> dict[str, float]:
        """Force for the strength, thickness for the weight at the force of the same cycle."""
        sp = targets.set_points
        force = self._model.force_for(
            sp[CV.TENSILE_STRENGTH] * exp(-state.trim.strength), state.extent
        )
        next_force = self._move(v, MV.MAIN_FORCE, force)
        thickness = self._model.thickness_for(
            sp[CV.TABLET_WEIGHT] * exp(-state.trim.weight), next_force
        )
        return {MV.MAIN_FORCE: next_force, MV.THICKNESS: self._move(v, MV.THICKNESS, thickness)}

    def _throughput(
        self, state: PidState, v: Validated, targets: Targets, press: Mapping[str, float]
    ) -> dict[str, float]:
        """Turret speed for the throughput, total feed for the level (K5, K6)."""
        weight = self._model.weight(press[MV.MAIN_FORCE], press[MV.THICKNESS])
        tablet = weight * exp(state.trim.weight) * (1.0 + state.balance.bias)
        turret = self._move(
            v, MV.TURRET_SPEED, targets.set_points[CV.THROUGHPUT] / (self._stations * tablet)
        )
        consumption = turret * self._stations * tablet  # (K5)
        feed = consumption + (self._content - state.balance.content) / self._config.level_s  # (K6)
        api = state.flows[self._api]
        if api.volumetric:  # the filler makes up for what the API screw feeds too much
            work_off = self._config.surplus_gain_per_s * state.surplus
            feed = (api.expected + work_off) / self._share(state, targets)
        return {MV.TURRET_SPEED: turret, MV.TOTAL_FEED: self._move(v, MV.TOTAL_FEED, feed)}

    def _ratio(
        self, state: PidState, v: Validated, targets: Targets, feed: float
    ) -> dict[str, float]:
        """API ratio that works the surplus off, more of it while the filler overfeeds (K2)."""
        share = self._share(state, targets)
        expected = feed
        if state.flows[self._filler].volumetric:
            rest = sum(f.expected for i, f in enumerate(state.flows) if i != self._api)
            expected = rest / (1.0 - share)
        work_off = self._config.surplus_gain_per_s * state.surplus
        wanted = (share * expected - work_off) / feed
        return {MV.API_RATIO: self._move(v, MV.API_RATIO, wanted)}

    def _share(self, state: PidState, targets: Targets) -> float:
        """API's share of the feed that the potency asks for, as the NIR trims it [-]."""
        wanted = self._recipe[self._api] * targets.set_points[CV.POTENCY]
        return wanted * (1.0 + state.nir_trim)

    def _nir_trimmed(
        self, state: PidState, v: Validated, targets: Targets, time: float
    ) -> PidState:
        if v.refills[self._api] is RefillPhase.ACTIVE:
            return state
        error = targets.set_points[CV.POTENCY] - state.nir
        limit = self._limits[MV.API_RATIO]
        centre = self._recipe[self._api]
        trim = state.nir_trim + self._period / time * error
        return replace(
            state, nir_trim=min(max(trim, limit.lo / centre - 1.0), limit.hi / centre - 1.0)
        )

    def _alarms(self, state: PidState, targets: Targets) -> tuple[str, ...]:
        deviation = 100.0 * (state.nir - targets.set_points[CV.POTENCY])
        if abs(deviation) <= self._config.nir_alarm_percent:
            return ()
        return (f"alarm: NIR potency {deviation:+.1f} % of label off its set point",)


def _good(v: Validated, tag: str) -> float | None:
    """Measured value in SI if validation left it any weight."""
    item = v.measurements.get(tag)
    return item.value if item is not None and item.weight > 0.0 else None
