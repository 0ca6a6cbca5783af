"""The control algorithms by their configured name."""

from __future__ import annotations

from controller.baselines.operator_plc import PlcBrain
from controller.baselines.pid import PidBrain
from controller.brain import Brain
from controller.config import ControllerConfig
from plant_models.line import ResolvedLine

__all__ = ["make_brain"]


def make_brain(config: ControllerConfig, line: ResolvedLine) -> Brain:
    """The algorithm that ``config`` names, for ``line``."""
    if config.algorithm == "pid":
        return PidBrain(line, config.pid, config.period_s)
    return PlcBrain()
