"""The twin at rest: what it makes, and earns, at constant moves, with all sensitivities.

(T1)  balance = (1 + feed_span) F(u, d) + inflow - n_T z w(u, p)          0 at rest [kg/s]
(T2)  K_s = k(N)-hold-up, API, lubricant, lot share as in the feed        powder path at rest
(T3)  y = h(x_s(u, d, p), p, v(u, d))                                     outputs of the twin
(T4)  s_i = F_i / (n_max,i ff_i)                                          screw of feeder i [-]
(T5)  J = N_t [g v - w c_m - W c_e / eta],   N_t = n_T z                  value [currency/s]
(T6)  g = Phi_w Phi_sigma Phi_a,  Phi = P(lo < attribute < hi)            share of good tablets

``F_i`` flows at their set points, feeders neither frozen nor deviating; ``ff_i`` the feed factor at
the content where a refill begins; ``W`` the compaction work (P11); ``v``, ``c_m``, ``c_e``, ``eta``
the prices and the drive's efficiency of `SteadyConfig`. (T6) takes weight and strength of single
tablets and the mean assay of a revolution as normal. Equations are those of `plant_models`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Any

import casadi as ca
import numpy as np

from controller.data import Array
from controller.estimation.window import STRENGTH_EXPONENT
from controller.steady_config import SteadyConfig
from controller.twin.core import INPUTS, MOVES, PARAMETERS, ControlTwin
from plant_models import line as build
from plant_models.feeder import feed_factor
from plant_models.regulatory import feeder_rate_setpoints
from plant_models.tablet_press import compaction_work

__all__ = ["AtRest", "SteadyModel"]

_JOULES = 3.6e6  # per kWh


@dataclass(frozen=True, slots=True)
class AtRest:
    """Evaluation at one point: rows ``y`` with ``ju`` (rows, nu), ``jp`` (rows, np); economics.

    ``value`` [currency/s] with gradient ``gu`` (nu,); ``work`` of one tablet [J]; ``good`` [-].
    """

    y: Array
    ju: Array
    jp: Array
    value: float
    gu: Array
    work: float
    good: float


class _Buffered:
    """A CasADi function of columns, called without conversions; results are copies."""

    def __init__(self, function: Any) -> None:
        outputs = [function.size_out(i) for i in range(function.n_out())]
        inputs = [ca.SX.sym(f"i{i}", *function.size_in(i)) for i in range(function.n_in())]
        dense = [ca.densify(e) for e in function.call(inputs)]
        self._function = ca.Function(function.name(), inputs, dense, {"cse": True})
        buffer: Any
        buffer, self._run = self._function.buffer()
        self._buffer = buffer
        self._args = [np.zeros(function.size1_in(i)) for i in range(function.n_in())]
        self._results = [np.zeros(shape, order="F") for shape in outputs]
        for i, arg in enumerate(self._args):
            buffer.set_arg(i, arg.data)
        for i, result in enumerate(self._results):
            buffer.set_res(i, result.T.data)

    def __call__(self, *args: Array) -> list[Array]:
        for place, value in zip(self._args, args, strict=True):
            place[:] = value
        self._run()
        return [result.copy() for result in self._results]


class SteadyModel:
    """Steady state of one twin as functions of moves, parameters and known disturbances.

    ``rows`` are the names of what is evaluated: ``balance``, one ``screw of ...`` per feeder, then
    ``outputs`` of the twin. ``function`` is (moves, parameters, known, spread) -> (rows, value) for
    CasADi.
    """

    def __init__(self, twin: ControlTwin, outputs: tuple[str, ...], config: SteadyConfig) -> None:
        self._twin, self._config = twin, config
        feeders = twin.resolved.line.feeders
        self.rows = ("balance", *(f"screw of {f.name}" for f in feeders), *outputs)
        u, p = ca.SX.sym("u", len(MOVES)), ca.SX.sym("p", len(PARAMETERS))
        d, spread = ca.SX.sym("d", 3 * len(feeders) + 3), ca.SX.sym("spread", 3)
        y, value, work, good = self._symbols(u, p, d, spread, outputs)
        results = [y, ca.jacobian(y, u), ca.jacobian(y, p), value, ca.jacobian(value, u)]
        given = [u, p, d, spread]
        self.function = ca.Function("rows_and_value", given, [y, value])
        self._evaluate = _Buffered(ca.Function("at_rest", given, [*results, work, good]))
        weight = ca.SX.sym("weight", y.size1())
        hessian, _ = ca.hessian(ca.dot(weight, y) - value, u)
        self._curvature = _Buffered(ca.Function("curvature", [*given, weight], [hessian]))

    def __call__(self, u: Array, p: Array, known: Array, spread: Array) -> AtRest:
        """Evaluate at moves ``u``; ``spread`` (3,) are relative sd of weight, strength, assay."""
        y, ju, jp, value, gu, work, good = self._evaluate(u, p, known, spread)
        return AtRest(
            y.ravel(),
            ju,
            jp,
            float(value[0, 0]),
            gu.ravel(),
            float(work[0, 0]),
            float(good[0, 0]),
        )

    def curvature(self, u: Array, p: Array, known: Array, spread: Array, weight: Array) -> Array:
        """Hessian (nu, nu) by the moves of ``weight . y - value``."""
        return self._curvature(u, p, known, spread, weight)[0]

    def settled(self, known: Array) -> Array:
        """Known disturbances (nd,) of one stage without what passes: refills and their surplus."""
        out = known.copy()
        out[: 3 * len(self._twin.resolved.line.feeders)] = 0.0
        return out

    def _symbols(
        self, u: Any, p: Any, d: Any, spread: Any, outputs: tuple[str, ...]
    ) -> tuple[Any, Any, Any, Any]:
        twin, resolved = self._twin, self._twin.resolved
        pp = ca.vertsplit(p)
        par = dict(zip(PARAMETERS, pp, strict=True))
        v = twin.stage_inputs(ca.vertsplit(u), ca.vertsplit(d))
        inp = dict(zip(INPUTS, v, strict=True))
        feed = inp["feed"] * (1.0 + par["feed_span"])
        inlet = {
            "api": inp["api"] * (1.0 + par["potency_span"]),
            "lot": inp["lot"],
            "extent": 0.0,
            "lubricant": inp["lubricant"],
        }
        x = twin.path.steady(feed, inlet, inp["blender_speed"], ca.exp(par["discharge"]))  # (T2)
        named = twin.outputs(x, pp, v)  # (T3)
        taken = named["throughput"]
        balance = feed + par["inflow"] - taken  # (T1)
        y = ca.vertcat(balance, *self._screws(u, d), *(named[n] for n in outputs))
        compact = twin.press(x, pp, v)
        blend = build.compaction(resolved.blend)
        scale = par["pressure_scale"] + par["lot_scale"] * twin.path.at_press(x, "lot")
        blend = replace(blend, scale=blend.scale * ca.exp(scale))
        work = compaction_work(blend, compact.weight, compact.in_die_density)
        good = self._good(named, spread)
        c = self._config
        per_tablet = (
            good * c.value_per_1000_tablets * 1e-3
            - compact.weight * c.material_per_kg
            - work / c.drive_efficiency * c.energy_per_kwh / _JOULES
        )
        return y, taken / compact.weight * per_tablet, work, good  # (T5)

    def _screws(self, u: Any, d: Any) -> list[Any]:
        """Share of its largest speed that each screw turns with (T4)."""
        feeders = self._twin.resolved.line.feeders
        ratios: list[Any] = []
        for f in feeders:
            shares = {"api": u[MOVES.index("api_ratio")], "lubricant": d[3 * len(feeders)]}
            filler = f.role == "filler"
            ratios.append(None if filler else shares.get(f.role, (f.share_percent or 0.0) / 100.0))
        flows = feeder_rate_setpoints(u[0], ratios, [None] * len(feeders))
        shares_of_speed = []
        for f, flow in zip(feeders, flows, strict=True):
            fp = build.feeder_parameters(f)
            content = f.hopper_kg * f.refill_from_percent / 100.0
            shares_of_speed.append(flow / (fp.speed_max * float(feed_factor(fp, content))))
        return shares_of_speed

    def _good(self, named: dict[str, Any], spread: Any) -> Any:
        """Share of tablets within the product's limits (T6)."""
        product = self._twin.resolved.product
        label = product.weight_mg * 1e-6
        assay = ca.log(named["potency"]) + named["log_weight"] - log(label)
        limits = (
            (named["log_weight"], product.weight_limits_mg, 1e-6),
            (named["log_strength"], product.tensile_strength_limits_mpa, 1e6),
            (assay, product.assay_limits_percent, 0.01),
        )
        good = 1.0
        for i, (y, band, unit) in enumerate(limits):
            low, high = ((log(limit * unit) - y) / spread[i] for limit in (band.lo, band.hi))
            good = good * 0.5 * (ca.erf(high / sqrt(2.0)) - ca.erf(low / sqrt(2.0)))
        return good

    def spread(self, weight_sd: float, strength_sd: float, potency_sd: float) -> Array:
        """Relative standard deviations for (T6) of single tablets around an uncertain mean."""
        rsd = self._config.tablet_weight_rsd_percent / 100.0
        stations = self._twin.resolved.product.stations
        mean_sd = np.hypot(weight_sd, potency_sd)
        return np.array(
            [
                np.hypot(rsd, weight_sd),
                np.hypot(STRENGTH_EXPONENT * rsd, strength_sd),
                np.hypot(rsd / sqrt(stations), mean_sd),
            ]
        )
