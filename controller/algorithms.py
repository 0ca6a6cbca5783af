"""The control algorithms by their configured name."""

from __future__ import annotations

from pathlib import Path

from controller.baselines.lmpc import LmpcBrain
from controller.baselines.operator_plc import PlcBrain
from controller.baselines.pid import PidBrain
from controller.brain import Brain
from controller.config import ControllerConfig
from controller.nmpc import NmpcBrain
from controller.optimisation.fallback import lazy_reference
from controller.press.brain import PressBrain
from controller.twin.core import ControlTwin
from plant_models.line import ResolvedLine
from plant_models.signals import SignalTable
from plant_models.variables import Structure

__all__ = ["make_brain"]


def make_brain(
    config: ControllerConfig, line: ResolvedLine, table: SignalTable, cache: Path | None
) -> Brain:
    """The algorithm that ``config`` names.

    Parameters
    ----------
    config
        Controller.
    line, table
        Line that it controls, and its signal list.
    cache
        Folder for compiled models; ``None`` compiles nothing.
    """
    if config.algorithm == "pid":
        return PidBrain(line, config.pid, config.period_s)
    if config.algorithm == "plc":
        return PlcBrain()
    if config.algorithm == "press":
        return PressBrain(config.press, float(config.period_s))
    if config.algorithm == "lmpc":
        return LmpcBrain(line, table, config)
    twin = ControlTwin(line, Structure(config.structure), step=float(config.period_s))
    reference = lazy_reference(twin, config.optimisation.reference_steps)
    return NmpcBrain(line, table, config, cache, reference)
