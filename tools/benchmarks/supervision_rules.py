"""The numbers of the written rules, from the configuration, for whoever judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.benchmarks.supervision_plant import FORCE
from tools.benchmarks.supervision_scene import OWNED, Scene

__all__ = ["rules_of"]

_DEBOUNCED = ("measurements", "set_points", "estimator", "solver", "commands")


def rules_of(scene: Scene, mv: Callable[..., Any]) -> dict[str, Any]:
    """Fields of the judge's rules; ``mv`` makes its record of an MV.

    Ranges and rates come from the line's configuration, not from the controller's signal list.
    """
    config, line = scene.setup.config, scene.line
    s = config.supervision
    operators = frozenset(s.operator_roles)
    modes = ("OFF", "MONITORING", "ADVISORY", "CLOSED_LOOP")
    return {
        "structure": config.structure,
        "period_s": float(config.period_s),
        "mvs": {
            m.tag: mv(
                lo=m.lo,
                hi=m.hi,
                move=m.move_per_5s * config.period_s / 5.0,
                factor=_FACTORS[m.unit],
            )
            for m in line.line.manipulated
        },
        "owned": frozenset(str(tag) for tag in OWNED),
        "critical": s.critical,
        "required": (FORCE,),
        "recipe_id": line.product.recipe_id,
        "model_version": scene.parameters.model_version,
        "roles": dict.fromkeys(modes, operators) | {"SHED": operators | {"engineer", "quality"}},
        "advice_roles": operators,
        "reason_min_characters": s.reason_min_characters,
        "debounce": {name: getattr(s.debounce, f"{name}_cycles") for name in _DEBOUNCED},
        "estimator_cycles": s.estimator_cycles,
        "solver_cycles": s.solver_cycles,
        "grant_cycles": s.grant_cycles,
        "resume_within_s": s.resume_within_s,
        "heartbeat_age_max_s": s.heartbeat_age_max_s,
        "plan_age_max_cycles": s.plan_age_max_cycles,
        "ramp_cycles": s.closing_ramp_cycles,
        "set_point_steps": 0.3,
    }


_FACTORS = {"kg/h": 1.0 / 3600.0, "%": 0.01, "kN": 1e3, "mm": 1e-3, "rpm": 1.0 / 60.0}
