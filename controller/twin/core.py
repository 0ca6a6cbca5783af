"""The control twin: powder path and press with the PLC's loops closed, plus disturbances.

States are those of the powder path with four attributes: API fraction, share of the newest lot,
lubrication extent, lubricant fraction. The press is algebraic: at 5 s its loops have settled.
Disturbances and slow parameters are logarithms of factors (or fractions), 0 where nothing
deviates; a lot's effect is a constant that acts with the share of that lot in the die, so that it
arrives as the powder does.

The equations are those of `plant_models`; only which of them are constant, estimated or given is
decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import casadi as ca
import numpy as np

from plant_models import line as build
from plant_models.chute import level
from plant_models.line import ResolvedLine
from plant_models.maths import Expr, exp, log, maximum, where
from plant_models.powder_path import PowderPath
from plant_models.quality import potency, tensile_strength
from plant_models.tablet_press import (
    Compact,
    compress_at_fill,
    compress_at_force,
    ejection_force,
    fill_depth_for_weight,
    fill_fraction,
    powder_flow,
)
from plant_models.variables import Structure

__all__ = ["INPUTS", "MOVES", "OUTPUTS", "PARAMETERS", "ControlTwin"]

ATTRIBUTES = ("api", "lot", "extent", "lubricant")

# Chute level below which composition travels as at this level: there a step of 5 s would be
# unstable, and a plan under which the chute runs empty must still have a finite prediction.
_LEAST_LEVEL = 0.12

# Disturbances and slow parameters, in order.
PARAMETERS = (
    "specific_volume",  # ln of the specific bulk volume in the die
    "pressure_scale",  # ln of the Kawakita pressure scale 1/b
    "strength",  # ln of the strength coefficient
    "potency_bias",  # NIR bias, share of label
    "lot_volume",  # effect of the newest lot on the three above
    "lot_scale",
    "lot_strength",
    "feed_span",  # relative error of the weighed total feed
    "potency_span",  # relative error of the weighed API fraction
    "compliance",  # ln of the machine compliance
    "discharge",  # ln of the blender's discharge rate: its hold-up
    "thickness_offset",  # of the thickness drive's play: machine minus setting [m]
    "inflow",  # powder that enters the chute unexplained [kg/s]
)

# Known inputs of a stage, in order: feed [kg/s], its API fraction and share of the newest lot [-],
# blender speed [rev/s], press set point (main force [N] or fill depth [m]), thickness setting [m],
# turret speed [rev/s], lubricant fraction of the feed [-].
INPUTS = (
    "feed",
    "api",
    "lot",
    "blender_speed",
    "press",
    "thickness",
    "turret_speed",
    "lubricant",
)

# What the optimiser moves, in order; ``press`` as above.
MOVES = ("total_feed", "api_ratio", "press", "thickness", "turret_speed")

# Outputs of a stage, in order: what instruments and specifications see.
OUTPUTS = (
    "level",  # chute level [-]
    "potency",  # in the feed frame, share of label [-]
    "potency_measured",  # the same with the NIR bias
    "log_weight",  # ln of tablet weight [kg]
    "log_strength",  # ln of tensile strength [Pa]
    "log_pre_force",  # ln of pre-compression force [N] at the model's weight
    "log_main_force",  # ln of main force [N]
    "log_fill_depth",  # ln of fill depth [m]
    "thickness",  # of the tablet [m]
    "throughput",  # [kg/s]
    "ejection_force",  # [N]
    "lubricant",  # fraction in the feed frame [-]
)


@dataclass(frozen=True)
class ControlTwin:
    """Twin of one line in one structure of the PLC; ``step`` is the grid of its stages [s]."""

    resolved: ResolvedLine
    structure: Structure = Structure.CASCADE
    step: float = 5.0
    substeps: int = 1

    @property
    def path(self) -> PowderPath:
        """The powder path with the twin's attributes."""
        return PowderPath(self.resolved, ATTRIBUTES)

    @property
    def state_names(self) -> list[str]:
        """Names of the states."""
        return self.path.names()

    def press(self, x: Sequence[Expr], p: Sequence[Expr], v: Sequence[Expr]) -> Compact:
        """Tablets being made at states, parameters and inputs."""
        par, inp = _named(PARAMETERS, p), _named(INPUTS, v)
        parameters = build.press_parameters(self.resolved)
        parameters = replace(parameters, compliance=parameters.compliance * exp(par["compliance"]))
        lot = self.path.at_press(x, "lot")
        compaction = build.compaction(self.resolved.blend)
        scale = compaction.scale * exp(par["pressure_scale"] + par["lot_scale"] * lot)
        compaction = replace(compaction, scale=scale)
        thickness = inp["thickness"] + par["thickness_offset"]
        if self.structure is Structure.CASCADE:
            return compress_at_force(parameters, compaction, inp["press"], thickness)
        return compress_at_fill(
            parameters,
            compaction,
            inp["press"],
            thickness,
            self._specific_volume(par, lot),
            self._fill_fraction(inp["turret_speed"]),
        )

    def rates(self, x: Sequence[Expr], p: Sequence[Expr], v: Sequence[Expr]) -> list[Expr]:
        """Time derivatives of the states."""
        par, inp = _named(PARAMETERS, p), _named(INPUTS, v)
        taken = powder_flow(
            build.press_parameters(self.resolved),
            inp["turret_speed"],
            self.press(x, p, v).weight,
        )
        inlet = {
            "api": inp["api"] * (1.0 + par["potency_span"]),
            "lot": inp["lot"],
            "extent": 0.0,
            "lubricant": inp["lubricant"],
        }
        least = _LEAST_LEVEL * self.resolved.line.chute.capacity_kg
        rates = self.path.rates(
            [x[0], maximum(x[1], least), *x[2:]],
            inp["feed"] * (1.0 + par["feed_span"]),
            inlet,
            taken,
            inp["blender_speed"],
            exp(par["discharge"]),
        )
        rates[1] = rates[1] + par["inflow"]
        return rates

    def outputs(self, x: Sequence[Expr], p: Sequence[Expr], v: Sequence[Expr]) -> dict[str, Expr]:
        """Outputs by name, in the order of `OUTPUTS`."""
        par, inp = _named(PARAMETERS, p), _named(INPUTS, v)
        compact = self.press(x, p, v)
        parameters = build.press_parameters(self.resolved)
        lot = self.path.at_press(x, "lot")
        strength = build.strength(self.resolved.blend, build.nominal_extent(self.resolved))
        strength = replace(
            strength,
            sigma_0=strength.sigma_0 * exp(par["strength"] + par["lot_strength"] * lot),
        )
        extent = self.path.at_press(x, "extent")
        in_frame = potency(self.path.at_press(x, "api"), self.resolved.product.api_percent / 100.0)
        in_chute = self._specific_volume(par, self.path.chute_mean(x, "lot"))
        fill = fill_depth_for_weight(
            parameters,
            compact.weight,
            self._specific_volume(par, lot),
            self._fill_fraction(inp["turret_speed"]),
        )
        return {
            "level": level(build.chute_parameters(self.resolved), x[1], in_chute),
            "potency": in_frame,
            "potency_measured": in_frame + par["potency_bias"],
            "log_weight": log(compact.weight),
            "log_strength": log(tensile_strength(strength, compact.porosity, extent)),
            "log_pre_force": log(compact.pre_force),
            "log_main_force": log(compact.main_force),
            "log_fill_depth": log(fill),
            "thickness": compact.thickness,
            "throughput": powder_flow(parameters, inp["turret_speed"], compact.weight),
            "ejection_force": ejection_force(parameters, compact.pressure, extent),
            "lubricant": self.path.at_press(x, "lubricant"),
        }

    def advance(self, x: Any, p: Any, v: Any) -> Any:
        """State one grid step later: classical Runge-Kutta, inputs held (CasADi columns)."""
        h = self.step / self.substeps
        pp, vv = ca.vertsplit(p), ca.vertsplit(v)

        def f(z: Any) -> Any:
            return ca.vertcat(*self.rates(ca.vertsplit(z), pp, vv))

        for _ in range(self.substeps):
            k1 = f(x)
            k2 = f(x + 0.5 * h * k1)
            k3 = f(x + 0.5 * h * k2)
            k4 = f(x + h * k3)
            x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return x

    def stage_function(self) -> Any:
        """CasADi function of one stage, all outputs dense.

        ``(x, p, v) -> (x+, dx+/dx, dx+/dp, dx+/dv, y, dy/dx+, dy/dp, dy/dv)``: state at the end
        of the stage under inputs ``v`` held during it, and the outputs there.
        """
        x = ca.SX.sym("x", self.path.size)
        p = ca.SX.sym("p", len(PARAMETERS))
        v = ca.SX.sym("v", len(INPUTS))
        z = ca.SX.sym("z", self.path.size)
        nxt = self.advance(x, p, v)
        named = self.outputs(ca.vertsplit(z), ca.vertsplit(p), ca.vertsplit(v))
        y = ca.vertcat(*(named[n] for n in OUTPUTS))
        out = ca.Function("output", [z, p, v], [y, *(ca.jacobian(y, s) for s in (z, p, v))])
        results = [nxt, *(ca.jacobian(nxt, s) for s in (x, p, v)), *out(nxt, p, v)]
        return ca.Function("stage", [x, p, v], [ca.densify(e) for e in results], {"cse": True})

    def stage_inputs(self, u: Sequence[Expr], d: Sequence[Expr]) -> list[Expr]:
        """Stage inputs (`INPUTS`) from moves ``u`` (`MOVES`) and known disturbances ``d``.

        ``d`` is three numbers per feeder (1 if its rate is frozen, its flow then [kg/s], relative
        deviation of its flow from the set point otherwise), then lubricant ratio, share of the
        newest lot in the feed, blender speed [rev/s].
        """
        move = _named(MOVES, u)
        feeders = self.resolved.line.feeders
        lubricant, lot, blender_speed = d[3 * len(feeders) :]
        total, known = move["total_feed"], []
        for i, feeder in enumerate(feeders):
            share = {"api": move["api_ratio"], "lubricant": lubricant}.get(
                feeder.role, (feeder.share_percent or 0.0) / 100.0
            )
            known.append(where(d[3 * i] > 0.5, d[3 * i + 1], total * share))
        filler = self.resolved.feeder_index("filler")
        others = sum(f for i, f in enumerate(known) if i != filler)
        known[filler] = where(d[3 * filler] > 0.5, d[3 * filler + 1], maximum(total - others, 0.0))
        flows = [where(d[3 * i] > 0.5, f, f * (1.0 + d[3 * i + 2])) for i, f in enumerate(known)]
        feed = sum(flows)
        by_role = {f.role: flow for f, flow in zip(feeders, flows, strict=True)}
        return [
            feed,
            by_role["api"] / feed,
            lot,
            blender_speed,
            move["press"],
            move["thickness"],
            move["turret_speed"],
            by_role.get("lubricant", 0.0) / feed,
        ]

    def controlled_stage_function(self) -> Any:
        """Like `stage_function`, with the third argument ``[u; d]`` of `stage_inputs`."""
        count = len(MOVES) + 3 * len(self.resolved.line.feeders) + 3
        x = ca.SX.sym("x", self.path.size)
        p = ca.SX.sym("p", len(PARAMETERS))
        w = ca.SX.sym("w", count)
        rows = ca.vertsplit(w)
        v = ca.vertcat(*self.stage_inputs(rows[: len(MOVES)], rows[len(MOVES) :]))
        inner = ca.SX.sym("v", len(INPUTS))
        plain = self.stage_function()
        nxt, a, bp, bv, y, hx, hp, hv = plain(x, p, inner)
        chain = ca.jacobian(v, w)
        results = [nxt, a, bp, bv @ chain, y, hx, hp, hv @ chain]
        merged = [ca.substitute(ca.densify(e), inner, v) for e in results]
        return ca.Function("controlled_stage", [x, p, w], merged, {"cse": True})

    def plain_stage_function(self) -> Any:
        """``(x, p, w) -> (x+, y)`` of `controlled_stage_function`, without sensitivities."""
        count = len(MOVES) + 3 * len(self.resolved.line.feeders) + 3
        x = ca.SX.sym("x", self.path.size)
        p = ca.SX.sym("p", len(PARAMETERS))
        w = ca.SX.sym("w", count)
        rows = ca.vertsplit(w)
        inputs = self.stage_inputs(rows[: len(MOVES)], rows[len(MOVES) :])
        nxt = self.advance(x, p, ca.vertcat(*inputs))
        named = self.outputs(ca.vertsplit(nxt), ca.vertsplit(p), inputs)
        y = ca.vertcat(*(named[n] for n in OUTPUTS))
        results = [ca.densify(nxt), ca.densify(y)]
        return ca.Function("plain_stage", [x, p, w], results, {"cse": True})

    def steady(self, feed: float, api: float, lot: float, blender_speed: float) -> np.ndarray:
        """Steady states at a feed [kg/s] of given API fraction and lot share."""
        lubricant = self.resolved.product.lubricant_percent / 100.0
        inlet = {"api": api, "lot": lot, "extent": 0.0, "lubricant": lubricant}
        return np.array(self.path.steady(feed, inlet, blender_speed), dtype=float)

    def _specific_volume(self, par: dict[str, Expr], lot: Expr) -> Expr:
        nominal = 1.0 / self.resolved.blend.bulk_density_kg_m3
        return nominal * exp(par["specific_volume"] + par["lot_volume"] * lot)

    def _fill_fraction(self, turret_speed: Expr) -> Expr:
        paddle = build.frame_parameters(self.resolved).paddle_speed
        return fill_fraction(build.press_parameters(self.resolved), turret_speed, paddle)


def _named(names: Sequence[str], values: Sequence[Expr]) -> dict[str, Expr]:
    return dict(zip(names, values, strict=True))
