"""The powder's way through blender, chute and feed frame, with any number of attributes.

Attributes are per unit mass and mix linearly by mass, so that each sees the same residence times:
component fractions, specific bulk volume, pressure scale, lubrication extent, share of a lot. The
equations are those of `plant_models.blender`, `plant_models.chute`, `plant_models.feed_frame`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plant_models import line as build
from plant_models.blender import hold_up_at, outflow, tank_rates
from plant_models.chute import advection_rates, collocation
from plant_models.feed_frame import frame_rate
from plant_models.line import ResolvedLine
from plant_models.maths import Expr

__all__ = ["PowderPath"]


@dataclass(frozen=True, slots=True)
class PowderPath:
    """Blender, chute and feed frame with any number of attributes carried along.

    State order: blender hold-up, chute content, then for each attribute its blender tanks, chute
    nodes and the feed frame.
    """

    resolved: ResolvedLine
    attributes: tuple[str, ...]

    @property
    def per_attribute(self) -> int:
        """States per attribute."""
        return self.resolved.line.blender.tanks + self.resolved.line.chute.nodes + 1

    @property
    def size(self) -> int:
        """Number of states."""
        return 2 + self.per_attribute * len(self.attributes)

    def names(self) -> list[str]:
        """State names in order."""
        tanks, nodes = self.resolved.line.blender.tanks, self.resolved.line.chute.nodes
        out = ["blender.hold_up", "chute.content"]
        for a in self.attributes:
            out += [f"blender.{a}.{j}" for j in range(tanks)]
            out += [f"chute.{a}.{j}" for j in range(nodes)]
            out.append(f"frame.{a}")
        return out

    def profile(self, x: Sequence[Expr], attribute: str) -> list[Expr]:
        """Values of ``attribute`` along the path: tanks, chute nodes, frame."""
        start = 2 + self.attributes.index(attribute) * self.per_attribute
        return [x[start + j] for j in range(self.per_attribute)]

    def at_press(self, x: Sequence[Expr], attribute: str) -> Expr:
        """Value of ``attribute`` in the feed frame, that is in the dies."""
        return self.profile(x, attribute)[-1]

    def chute_mean(self, x: Sequence[Expr], attribute: str) -> Expr:
        """Mean of ``attribute`` over the content of the chute."""
        tanks = self.resolved.line.blender.tanks
        nodes = self.profile(x, attribute)[tanks:-1]
        _, _, weights = collocation(len(nodes))
        return sum(w * c for w, c in zip(weights, nodes, strict=True))

    def rates(
        self,
        x: Sequence[Expr],
        flow_in: Expr,
        inlet: Mapping[str, Expr],
        flow_out: Expr,
        blender_speed: Expr,
        discharge: Expr = 1.0,
    ) -> list[Expr]:
        """Time derivatives of the path.

        Parameters
        ----------
        x
            States in the order of `names`.
        flow_in, flow_out
            Feed into the blender, powder taken by the press [kg/s].
        inlet
            Value of each attribute in the feed, per unit mass.
        blender_speed
            Impeller speed [rev/s].
        discharge
            Factor on the blender's discharge rate [-].
        """
        r = self.resolved
        tanks, nodes = r.line.blender.tanks, r.line.chute.nodes
        frame = build.frame_parameters(r)
        hold_up, content = x[0], x[1]
        to_chute = discharge * outflow(build.blender_parameters(r), hold_up, blender_speed)
        out = [flow_in - to_chute, to_chute - flow_out]  # (B1), (C1)
        for a in self.attributes:
            profile = self.profile(x, a)
            cells, chute, in_frame = profile[:tanks], profile[tanks : tanks + nodes], profile[-1]
            turning = a == "extent"
            out += tank_rates(
                cells,
                inlet[a],
                hold_up,
                flow_in,
                to_chute,
                blender_speed if turning else 0.0,
            )
            out += advection_rates(chute, cells[-1], content, to_chute, flow_out)
            paddles = frame.paddle_speed if turning else 0.0
            out.append(frame_rate(frame, in_frame, chute[-1], flow_out, paddles))
        return out

    def steady(
        self,
        flow: Expr,
        inlet: Mapping[str, Expr],
        blender_speed: Expr,
        discharge: Expr = 1.0,
    ) -> list[Expr]:
        """Steady states at throughput ``flow`` [kg/s] and nominal chute content.

        ``discharge`` is a factor on the blender's discharge rate [-], as in `rates`.
        """
        r = self.resolved
        tanks, nodes = r.line.blender.tanks, r.line.chute.nodes
        hold_up = hold_up_at(build.blender_parameters(r), flow / discharge, blender_speed)
        content = r.line.chute.capacity_kg * r.line.chute.nominal_level_percent / 100.0
        frame = build.frame_parameters(r)
        out: list[Expr] = [hold_up, content]
        for a in self.attributes:
            gain = hold_up / flow * blender_speed / tanks if a == "extent" else 0.0
            cells = [inlet[a] + gain * (j + 1) for j in range(tanks)]
            paddles = frame.hold_up / flow * frame.paddle_speed if a == "extent" else 0.0
            out += [*cells, *[cells[-1]] * nodes, cells[-1] + paddles]
        return out
