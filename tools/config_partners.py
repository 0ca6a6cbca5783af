"""Checks of a product, and of the files that refer to a line, against what they refer to."""

from __future__ import annotations

import difflib
from math import pi
from typing import Any

from plant_models.config import MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine
from plant_models.signal_list import signal_table
from plant_models.signals import DataType
from tools.config_finding import Finding

__all__ = ["check_controller", "check_product", "check_scenario", "check_tagmap"]


def check_product(product: ProductConfig, blend: MaterialConfig) -> list[Finding]:
    """In what a product contradicts itself, and whether its blend can be pressed."""
    area = pi * product.diameter_mm**2 / 4.0
    if abs(product.die_area_mm2 / area - 1.0) > 0.005:
        return [
            Finding(
                owner="product",
                path=("die_area_mm2",),
                wrong=f"{product.die_area_mm2:g} mm2 is not the area of a flat round tablet of "
                f"{product.diameter_mm:g} mm",
                right=f"{area:.4g} mm2",
            )
        ]
    return [
        Finding(
            owner="product",
            path=("blend",),
            wrong=f"the blend {blend.name!r} has no {part!r}",
            right="a material with 'compaction' and 'strength', since it is pressed",
        )
        for part in ("compaction", "strength")
        if getattr(blend, part) is None
    ][:1]


def check_scenario(scenario: Any, r: ResolvedLine) -> list[Finding]:
    """In what a `hil.config.ScenarioConfig` contradicts its line."""
    found = []
    if (needed := r.line.plc.start_up_s / 60.0) > scenario.start_up_minutes:
        found.append(
            Finding(
                owner="scenario",
                path=("start_up_minutes",),
                wrong=f"{scenario.start_up_minutes:g} min is shorter than the start-up sequence of "
                f"{r.line.name!r}",
                right=f"at least {needed:g} min (plc.start_up_s of the line)",
            )
        )
    roles = sorted({f.role for f in r.line.feeders})
    for i, event in enumerate(scenario.events):
        if (role := getattr(event, "role", roles[0])) not in roles:
            found.append(
                Finding(
                    owner="scenario",
                    path=("events", i, "role"),
                    wrong=f"{r.line.name!r} has no feeder with role {role!r}",
                    right=f"one of {', '.join(roles)}",
                )
            )
    return found


def check_controller(controller: Any, r: ResolvedLine) -> list[Finding]:
    """In what a `controller.config.ControllerConfig` contradicts its line."""
    period = r.line.plc.control_period_s
    if controller.period_s == period:
        return []
    return [
        Finding(
            owner="controller",
            path=("period_s",),
            wrong=f"{controller.period_s} s is not the control period of {r.line.name!r}",
            right=f"{period} s (plc.control_period_s of the line)",
        )
    ]


def check_tagmap(tagmap: Any, r: ResolvedLine) -> list[Finding]:
    """In what a `controller.link.tagmap.TagMapConfig` contradicts the signals of its line."""
    table = signal_table(r.line)
    found = []
    for tag, entry in tagmap.tags.items():
        if tag not in table:
            close = difflib.get_close_matches(tag, [s.tag for s in table], 1, 0.6)
            wrong = f"{r.line.name!r} has no tag {tag!r}"
            right = f"did you mean {close[0]!r}?" if close else "a tag of the signal list"
        elif (entry.scale, entry.offset) != (1.0, 0.0) and table[tag].data_type not in (
            DataType.DOUBLE,
            DataType.DOUBLE_ARRAY,
        ):
            wrong = f"{tag!r} is of type {table[tag].data_type}, which cannot be scaled"
            right = "an entry without scale and offset"
        else:
            continue
        found.append(Finding(owner="tagmap", path=("tags", tag), wrong=wrong, right=right))
    return found
