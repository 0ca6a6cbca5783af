"""The tablet that belongs to a main force, as the line is configured."""

from __future__ import annotations

from controller.measurement.slow import ExpectedTablet, Made
from plant_models.blender import hold_up_at
from plant_models.line import (
    ResolvedLine,
    blender_parameters,
    compaction,
    frame_parameters,
    press_parameters,
)
from plant_models.tablet_press import compress_at_force, ejection_force

__all__ = ["made_by"]


def made_by(line: ResolvedLine) -> Made:
    """Forces and weight at a main force [N], thickness setting [m] and powder flow [kg/s].

    Blender and paddle turn at their nominal speeds: a tablet is lubricated the longer, the less
    powder flows.
    """
    press, powder = press_parameters(line), compaction(line.blend)
    blender, frame = blender_parameters(line), frame_parameters(line)

    def made(main: float, thickness: float, flow: float) -> ExpectedTablet:
        tablet = compress_at_force(press, powder, main, thickness)
        turns = float(hold_up_at(blender, flow, blender.speed_0)) * blender.speed_0
        extent = (turns + frame.hold_up * frame.paddle_speed) / flow
        ejection = ejection_force(press, tablet.pressure, extent)
        return ExpectedTablet(float(tablet.pre_force), float(tablet.weight), float(ejection))

    return made
