"""The flowsheet: unit operations connected into one line, x' = f, y = h, z = q.

`PowderPath` carries attributes of the powder through blender, chute and feed frame. `Line` adds
feeders in front and the press behind, in one of three structures that differ only in what the
PLC's loops already do:

========== ======================================= ==========================================
structure  feeders                                 press
========== ======================================= ==========================================
OPEN       inputs are screw speeds                 input is the fill depth
REMOTE     gravimetric loops and ratio station     input is the fill depth
CASCADE    gravimetric loops and ratio station     force loop: input is the force set point
========== ======================================= ==========================================

The loops are taken as settled (they act within seconds); everything is SI, and the same functions
run on numbers and on CasADi symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plant_models import line as build
from plant_models.chute import level
from plant_models.feeder import feed_factor, feeder_rates, mass_flow
from plant_models.line import ResolvedLine
from plant_models.materials import mixture_density
from plant_models.maths import Expr
from plant_models.powder_path import PowderPath
from plant_models.quality import (
    assay,
    breaking_force,
    lubrication_factor,
    porosity_for_strength,
    potency,
    tensile_strength,
)
from plant_models.regulatory import feeder_rate_setpoints
from plant_models.tablet_press import (
    Compact,
    compress_at_fill,
    compress_at_force,
    ejection_force,
    fill_depth_for_weight,
    fill_fraction,
    kawakita_pressure,
    powder_flow,
    speed_pressure_scale,
)
from plant_models.units import to_si
from plant_models.variables import (
    INPUT_OF_TAG,
    INPUT_UNITS,
    Deviations,
    OperatingPoint,
    Structure,
    Variable,
)

__all__ = ["Deviations", "Line", "OperatingPoint", "PowderPath", "Structure", "Variable"]


@dataclass(frozen=True)
class Line:
    """A configured line as one model. Sequences of numbers or CasADi symbols in, lists out."""

    resolved: ResolvedLine
    structure: Structure = Structure.CASCADE
    path: PowderPath = field(init=False)

    ATTRIBUTES = ("api", "lubricant", "specific_volume", "pressure_scale", "extent")

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", PowderPath(self.resolved, self.ATTRIBUTES))

    # names, units, nominal values, scales, bounds

    @property
    def states(self) -> tuple[Variable, ...]:
        """The states: per feeder content and screw speed, the powder path, the press drives."""
        point = self.steady_state()
        units = {"content": "kg", "speed": "1/s", "hold_up": "kg"}
        rows = []
        for name, value in point.states.items():
            last = name.split(".")[-1]
            unit = units.get(last, "m" if last in ("fill_depth", "thickness") else "-")
            if ".specific_volume" in name:
                unit = "m3/kg"
            elif ".pressure_scale" in name:
                unit = "Pa"
            elif ".extent" in name:
                unit = "rev"
            size = max(abs(value), 1e-12)
            rows.append(
                Variable(name=name, unit=unit, nominal=value, scale=size, lo=0.0, hi=100.0 * size)
            )
        return tuple(rows)

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """The inputs of the structure; bounds from the configured manipulated variables."""
        point = self.steady_state()
        rows = []
        for name in self.input_names():
            nominal = point.inputs[name]
            lo, hi = self._input_range(name)
            rows.append(
                Variable(
                    name=name,
                    unit=INPUT_UNITS.get(name, "1/s"),
                    nominal=nominal,
                    scale=0.1 * (hi - lo),
                    lo=lo,
                    hi=hi,
                )
            )
        return tuple(rows)

    def state_names(self) -> list[str]:
        """State names in order."""
        feeders = [
            f"feeder{i}.{what}"
            for i in range(1, len(self.resolved.line.feeders) + 1)
            for what in ("content", "speed")
        ]
        return [
            *feeders,
            *self.path.names(),
            "press.fill_depth",
            "press.thickness",
            "press.turret_speed",
        ]

    def input_names(self) -> list[str]:
        """Input names in order, by structure."""
        if self.structure is Structure.OPEN:
            feed = [f"feeder{i}.speed_set" for i in range(1, len(self.resolved.line.feeders) + 1)]
        else:
            feed = ["total_feed", "api_ratio", "lubricant_ratio"]
        press = "main_force" if self.structure is Structure.CASCADE else "fill_depth"
        return [*feed, press, "thickness", "turret_speed", "blender_speed"]

    def _input_range(self, name: str) -> tuple[float, float]:
        for m in self.resolved.line.manipulated:
            if INPUT_OF_TAG[m.tag] == name:
                return to_si(m.lo, m.unit), to_si(m.hi, m.unit)
        index = int(name[len("feeder")]) - 1
        return 0.0, build.feeder_parameters(self.resolved.line.feeders[index]).speed_max

    def no_deviation(self) -> Deviations:
        """Deviations of a line that is exactly as configured."""
        return Deviations(feed_factors=(1.0,) * len(self.resolved.line.feeders))

    # the equations

    def rates(self, x: Sequence[Expr], u: Sequence[Expr], d: Deviations) -> list[Expr]:
        """Time derivatives ``x' = f(x, u, d)`` in the order of `state_names`."""
        r = self.resolved
        count = len(r.line.feeders)
        inp = dict(zip(self.input_names(), u, strict=True))
        out: list[Expr] = []
        flows = []
        targets = self._screw_set_points(x, inp, d)
        for i, feeder in enumerate(r.line.feeders):
            p = build.feeder_parameters(feeder)
            content, speed = x[2 * i], x[2 * i + 1]
            out += feeder_rates(p, content, speed, targets[i], 0.0, d.feed_factors[i])
            flows.append(mass_flow(p, content, speed, d.feed_factors[i]))
        path, press = x[2 * count : 2 * count + self.path.size], x[2 * count + self.path.size :]
        compact = self._compact(path, press, inp, d)
        out += self.path.rates(
            path,
            sum(flows),
            self.inlet(flows, d),
            powder_flow(build.press_parameters(r), press[2], compact.weight),
            inp["blender_speed"],
        )
        config = r.line.press
        fill_set = inp.get("fill_depth", press[0])
        if self.structure is Structure.CASCADE:
            fill_set = self._fill_for(path, press, compact.weight, d)
        out += [
            (fill_set - press[0]) / config.fill_time_constant_s,
            (inp["thickness"] - press[1]) / config.thickness_time_constant_s,
            (inp["turret_speed"] - press[2]) / config.turret_time_constant_s,
        ]
        return out

    def outputs(self, x: Sequence[Expr], u: Sequence[Expr], d: Deviations) -> dict[str, Expr]:
        """Measured outputs ``y = h(x, u, d)`` by name, SI."""
        r = self.resolved
        count = len(r.line.feeders)
        inp = dict(zip(self.input_names(), u, strict=True))
        out: dict[str, Expr] = {}
        for i, feeder in enumerate(r.line.feeders):
            p = build.feeder_parameters(feeder)
            out[f"feeder{i + 1}.weight"] = x[2 * i]
            out[f"feeder{i + 1}.mass_flow"] = mass_flow(
                p, x[2 * i], x[2 * i + 1], d.feed_factors[i]
            )
        path, press = x[2 * count : 2 * count + self.path.size], x[2 * count + self.path.size :]
        compact = self._compact(path, press, inp, d)
        volume = self.path.chute_mean(path, "specific_volume")
        out["chute.level"] = level(build.chute_parameters(r), path[1], volume)
        label = r.product.api_percent / 100.0
        out["frame.potency"] = potency(self.path.at_press(path, "api"), label) + d.potency_bias
        out["press.main_force"] = compact.main_force
        out["press.pre_force"] = compact.pre_force
        out["press.ejection_force"] = ejection_force(
            build.press_parameters(r), compact.pressure, self.path.at_press(path, "extent")
        )
        out["press.fill_depth"] = press[0]
        out["press.thickness"] = press[1]
        out["press.turret_speed"] = press[2]
        return out

    def quality(self, x: Sequence[Expr], u: Sequence[Expr], d: Deviations) -> dict[str, Expr]:
        """Quality attributes ``z = q(x, u, d)`` of the tablets being made, by name, SI."""
        r = self.resolved
        count = len(r.line.feeders)
        inp = dict(zip(self.input_names(), u, strict=True))
        path, press = x[2 * count : 2 * count + self.path.size], x[2 * count + self.path.size :]
        compact = self._compact(path, press, inp, d)
        label = r.product.api_percent / 100.0
        api = self.path.at_press(path, "api")
        p = build.strength(r.blend, build.nominal_extent(r))
        sigma = tensile_strength(
            replace(p, sigma_0=p.sigma_0 * d.strength),
            compact.porosity,
            self.path.at_press(path, "extent"),
        )
        press_p = build.press_parameters(r)
        return {
            "potency": potency(api, label),
            "assay": assay(api, compact.weight, label * r.product.weight_mg * 1e-6),
            "tablet_weight": compact.weight,
            "tablet_thickness": compact.thickness,
            "porosity": compact.porosity,
            "tensile_strength": sigma,
            "breaking_force": breaking_force(sigma, press_p.diameter, compact.thickness),
            "lubricant_fraction": self.path.at_press(path, "lubricant"),
            "throughput": powder_flow(press_p, press[2], compact.weight),
        }

    def inlet(self, flows: Sequence[Expr], d: Deviations) -> dict[str, Expr]:
        """Attributes of the feed from the feeders' flows [kg/s]."""
        r = self.resolved
        total = sum(flows)
        shares = [f / total for f in flows]
        by_role = {"api": 0.0, "lubricant": 0.0}
        densities = []
        for share, feeder, component in zip(shares, r.line.feeders, r.components, strict=True):
            if feeder.role in by_role:
                by_role[feeder.role] = by_role[feeder.role] + share
            bulk = component.bulk_density_kg_m3
            densities.append(bulk / d.specific_volume if feeder.role == "filler" else bulk)
        return {
            "api": by_role["api"],
            "lubricant": by_role["lubricant"],
            "specific_volume": 1.0 / mixture_density(shares, densities),
            "pressure_scale": build.compaction(r.blend).scale * d.pressure_scale,
            "extent": 0.0 * total,
        }

    def _screw_set_points(
        self, x: Sequence[Expr], inp: Mapping[str, Expr], d: Deviations
    ) -> list[Expr]:
        """Screw speeds [rev/s]; settled gravimetric loops make up for the feed factors."""
        feeders = self.resolved.line.feeders
        if self.structure is Structure.OPEN:
            return [inp[f"feeder{i}.speed_set"] for i in range(1, len(feeders) + 1)]
        ratios = [
            {"api": inp["api_ratio"], "lubricant": inp["lubricant_ratio"], "filler": None}.get(
                f.role, (f.share_percent or 0.0) / 100.0
            )
            for f in feeders
        ]
        rates = feeder_rate_setpoints(inp["total_feed"], ratios, [None] * len(feeders))
        return [
            rate / (feed_factor(build.feeder_parameters(f), x[2 * i]) * d.feed_factors[i])
            for i, (f, rate) in enumerate(zip(feeders, rates, strict=True))
        ]

    def _compact(
        self, path: Sequence[Expr], press: Sequence[Expr], inp: Mapping[str, Expr], d: Deviations
    ) -> Compact:
        p = build.press_parameters(self.resolved)
        p = replace(p, compliance=p.compliance * d.compliance)
        scale = speed_pressure_scale(p, self.path.at_press(path, "pressure_scale"), press[2])
        c = replace(build.compaction(self.resolved.blend), scale=scale)
        if self.structure is Structure.CASCADE:
            return compress_at_force(p, c, inp["main_force"], press[1])
        paddle = build.frame_parameters(self.resolved).paddle_speed
        return compress_at_fill(
            p,
            c,
            press[0],
            press[1],
            self.path.at_press(path, "specific_volume"),
            fill_fraction(p, press[2], paddle),
        )

    def _fill_for(
        self, path: Sequence[Expr], press: Sequence[Expr], weight: Expr, d: Deviations
    ) -> Expr:
        p = build.press_parameters(self.resolved)
        paddle = build.frame_parameters(self.resolved).paddle_speed
        volume = self.path.at_press(path, "specific_volume")
        return fill_depth_for_weight(p, weight, volume, fill_fraction(p, press[2], paddle))

    # operating points

    def steady_state(
        self,
        *,
        throughput: float | None = None,
        weight: float | None = None,
        strength: float | None = None,
        potency: float = 1.0,
        deviations: Deviations | None = None,
    ) -> OperatingPoint:
        """Operating point that makes the wanted tablets.

        Parameters
        ----------
        throughput
            [kg/s]; this and the next two default to the product's set points.
        weight, strength
            Tablet weight [kg] and tensile strength [Pa].
        potency
            Share of the label claim [-].
        deviations
            Of the line from its configuration.

        Returns
        -------
        The point, steady except for the draining hoppers.

        Raises
        ------
        ValueError
            If no compaction reaches the strength: the powder would have to be denser than solid.
        """
        r = self.resolved
        d = deviations or self.no_deviation()
        flow = build.nominal_flow(r) if throughput is None else throughput
        mass = r.product.weight_mg * 1e-6 if weight is None else weight
        sigma = r.product.tensile_strength_mpa * 1e6 if strength is None else strength
        speed = build.blender_parameters(r).speed_0
        fractions = self._fractions(potency)
        flows = [flow * x for x in fractions]
        path = self.path.steady(flow, self.inlet(flows, d), speed)
        p = build.press_parameters(r)
        p = replace(p, compliance=p.compliance * d.compliance)
        turret = flow / (p.stations * mass)
        scale = speed_pressure_scale(p, self.path.at_press(path, "pressure_scale"), turret)
        c = replace(build.compaction(r.blend), scale=scale)
        s = build.strength(r.blend, build.nominal_extent(r))
        s = replace(s, sigma_0=s.sigma_0 * d.strength)
        extent = self.path.at_press(path, "extent")
        porosity = float(porosity_for_strength(s, sigma, extent))
        in_die = (1.0 - porosity) * (1.0 + p.recovery)
        if not c.critical_density < in_die < min(1.0, c.critical_density / (1.0 - c.a)):
            reachable = float(s.sigma_0 * lubrication_factor(s, extent))
            raise ValueError(
                f"tensile strength {sigma / 1e6:.3g} MPa needs an in-die relative density of "
                f"{in_die:.3g}; the blend's strength at zero porosity is {reachable / 1e6:.3g} MPa"
            )
        force = float(kawakita_pressure(c, in_die)) * p.die_area
        thickness = mass / (c.true_density * p.die_area * in_die) - force * p.compliance
        volume = self.path.at_press(path, "specific_volume")
        paddle = build.frame_parameters(r).paddle_speed
        fill = float(fill_depth_for_weight(p, mass, volume, fill_fraction(p, turret, paddle)))
        states: dict[str, float] = {}
        inputs: dict[str, float] = {
            "total_feed": flow,
            "api_ratio": fractions[r.feeder_index("api")],
            "lubricant_ratio": self._lubricant(fractions),
            "main_force": force,
            "fill_depth": fill,
            "thickness": thickness,
            "turret_speed": turret,
            "blender_speed": speed,
        }
        for i, feeder in enumerate(r.line.feeders, start=1):
            fp = build.feeder_parameters(feeder)
            content = feeder.hopper_kg * feeder.hopper_start_percent / 100.0
            screw = flows[i - 1] / float(feed_factor(fp, content) * d.feed_factors[i - 1])
            states[f"feeder{i}.content"] = content
            states[f"feeder{i}.speed"] = screw
            inputs[f"feeder{i}.speed_set"] = screw
        states |= dict(zip(self.path.names(), (float(v) for v in path), strict=True))
        states |= {
            "press.fill_depth": fill,
            "press.thickness": thickness,
            "press.turret_speed": turret,
        }
        x = list(states.values())
        u = [inputs[n] for n in self.input_names()]
        return OperatingPoint(
            states=states,
            inputs=inputs,
            outputs={k: float(v) for k, v in self.outputs(x, u, d).items()},
            quality={k: float(v) for k, v in self.quality(x, u, d).items()},
        )

    def _fractions(self, potency: float) -> list[float]:
        fractions = list(build.recipe_fractions(self.resolved))
        api, filler = self.resolved.feeder_index("api"), self.resolved.feeder_index("filler")
        extra = fractions[api] * (potency - 1.0)
        fractions[api] += extra
        fractions[filler] -= extra
        return fractions

    def _lubricant(self, fractions: Sequence[float]) -> float:
        return sum(
            x
            for x, f in zip(fractions, self.resolved.line.feeders, strict=True)
            if f.role == "lubricant"
        )

    def mass(self, x: Sequence[Any]) -> float:
        """All powder on the line [kg]: hoppers, blender, chute, feed frame."""
        count = len(self.resolved.line.feeders)
        hoppers = np.sum([x[2 * i] for i in range(count)])
        path = x[2 * count :]
        return float(hoppers + path[0] + path[1] + build.frame_parameters(self.resolved).hold_up)
