"""The scene of the fuzz: the reference line, its PLC, and a controller with short counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.brain import Forced, Step
from controller.config import ControllerConfig, TagRuleConfig, ValidationConfig
from controller.cycle_data import CycleSetup, make_setup
from controller.data import Mode, Targets, Validated
from hil.plc.parameters import PlcParameters, plc_parameters
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import MV, SignalTable
from tools.benchmarks.supervision_plant import FORCE
from tools.configuration import load_controller, load_line

__all__ = ["OWNED", "Scene", "scene"]

OWNED = (MV.TOTAL_FEED, MV.API_RATIO, MV.MAIN_FORCE, MV.THICKNESS, MV.TURRET_SPEED)
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoBrain:
    """Stands where an algorithm would; the fuzz thinks for it."""

    name: str = "fuzz"
    manipulated: tuple[str, ...] = OWNED

    def initial(self) -> None:
        return None

    def step(
        self,
        state: Any,
        validated: Validated,
        mode: Mode,
        targets: Targets,
        deadline_s: float,
        forced: Forced | None = None,
    ) -> Step:
        raise NotImplementedError("the fuzz thinks")

    def prepare(self, state: Any) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What does not change between runs: line, PLC, controller."""

    line: ResolvedLine
    table: SignalTable
    parameters: PlcParameters
    setup: CycleSetup


def scene() -> Scene:
    """The reference line with a list of the signals that supervision looks at, and short counts."""
    line = load_line(_CONFIGS / "lines" / "reference.yaml")
    full = signal_table(line.line)
    kept = tuple(
        s
        for s in full
        if s.tag.startswith(("Line/PLC/", "Line/APC/"))
        or s.tag in (FORCE, "Line/Feeder1/MassFlow/SP")
        or (
            any(s.tag.startswith(f"{m.tag}/") for m in full.manipulated)
            and not s.tag.endswith(("/FBK", "/CLAMPED"))
        )
    )
    table = SignalTable(kept, full.manipulated)
    shipped = load_controller(_CONFIGS / "controllers" / "nmpc.yaml")
    supervision = shipped.supervision.model_copy(
        update={"estimator_cycles": 4, "solver_cycles": 3, "resume_within_s": 60.0}
    )
    debounce = supervision.debounce.model_copy(
        update={"estimator_cycles": 5, "solver_cycles": 4, "commands_cycles": 3}
    )
    rule = TagRuleConfig(tags=FORCE, required=True, grace_s=0.0)
    config: ControllerConfig = shipped.model_copy(
        update={
            "supervision": supervision.model_copy(update={"debounce": debounce}),
            "validation": ValidationConfig(rules=(rule,)),
        }
    )
    targets = Targets(set_points={"potency": 1.0, "throughput": 20.0 / 3600.0})
    return Scene(
        line=line,
        table=table,
        parameters=plc_parameters(line, table),
        setup=make_setup(config, line, table, _NoBrain(), targets),
    )
