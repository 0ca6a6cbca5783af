"""Feed frame of the press: a stirred tank that stays full while the chute holds powder.

(R1)  dc/dt = q (c_in - c) / M + s                 attributes; s = paddle speed for the extent

The paddles add their revolutions to the lubrication extent. The NIR probe looks into the frame.

References
----------
Form assumed (one stirred tank; survey section 4); shear in the frame lubricates further after
Mendez et al. 2012, AIChE J, doi 10.1002/aic.12639 (abstract read).
"""

from __future__ import annotations

from dataclasses import dataclass

from plant_models.maths import Expr

__all__ = ["FeedFrameParameters", "frame_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFrameParameters:
    """Feed frame in SI: hold-up [kg], nominal paddle speed [rev/s]."""

    hold_up: float
    paddle_speed: float


def frame_rate(
    p: FeedFrameParameters, value: Expr, inlet: Expr, flow: Expr, source: Expr = 0.0
) -> Expr:
    """Rate of an attribute in the frame at throughput ``flow`` [kg/s] (R1)."""
    return flow * (inlet - value) / p.hold_up + source  # (R1)
