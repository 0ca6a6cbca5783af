"""Replay: recorded cycles are run again and must give, bit for bit, what was recorded.

From the newest state kept before the first cycle asked for, every cycle is repeated with its
recorded inputs; the algorithm is told which steps it took, so that the deadline of then decides and
not the clock of now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.config import ControllerConfig
from controller.cycle import run_cycle
from controller.cycle_data import CycleInputs, CycleSetup, CycleState
from controller.data import CycleRecord
from controller.products.sets import ProductSet, from_facts
from controller.records.codec import encode
from controller.records.historian import History, HistoryError
from plant_models.config import LineConfig, MaterialConfig, ProductConfig
from plant_models.line import ResolvedLine

__all__ = [
    "COMPARED",
    "Difference",
    "ReplayReport",
    "inputs_of",
    "recorded_config",
    "recorded_line",
    "recorded_product",
    "replay",
]

COMPARED = (
    "mode",
    "validated",
    "estimate",
    "forecast",
    "plan",
    "command",
    "targets",
    "permissives",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A part of a cycle that came out differently."""

    cycle: int
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """Outcome of a replay: cycles compared, plans among them, and what differed."""

    first: int
    last: int
    compared: int
    plans: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether everything came out as recorded."""
        return self.compared > 0 and not self.differences


def recorded_config(facts: Mapping[str, Any]) -> ControllerConfig:
    """Settings that a start of the controller ran with."""
    return ControllerConfig.model_validate(facts["configuration"])


def recorded_line(facts: Mapping[str, Any]) -> ResolvedLine:
    """The line that a start of the controller knew."""
    found = facts["line"]
    return ResolvedLine(
        line=LineConfig.model_validate(found["line"]),
        product=ProductConfig.model_validate(found["product"]),
        blend=MaterialConfig.model_validate(found["blend"]),
        components=tuple(MaterialConfig.model_validate(c) for c in found["components"]),
    )


def recorded_product(facts: Mapping[str, Any], line: ResolvedLine) -> ProductSet | None:
    """The product set that a start of the controller was bound to, if it was."""
    return from_facts(facts["product_set"], line) if "product_set" in facts else None


def inputs_of(record: CycleRecord) -> CycleInputs:
    """Inputs of a recorded cycle."""
    inputs = record.extra.get("inputs")
    if not isinstance(inputs, CycleInputs):
        raise HistoryError(f"the record of cycle {record.cycle} holds no inputs")
    return replace(inputs, snapshot=record.snapshot) if record.extra["had_snapshot"] else inputs


def replay(
    history: History,
    setup: CycleSetup,
    *,
    start: int,
    first: int = 1,
    last: int | None = None,
) -> ReplayReport:
    """Run recorded cycles again and compare.

    Parameters
    ----------
    history
        Where they were recorded.
    setup
        The same configuration, line and algorithm as then; other hashes are reported as notes.
    start
        Which start of the controller.
    first, last
        Cycles to compare, inclusive; by default all.
    """
    first = max(first, history.begun_at(start) + 1)
    state = history.state_at(start, first - 1)
    differences: list[Difference] = []
    compared, plans, end = 0, 0, first - 1
    notes: tuple[str, ...] = ()
    for record in _unbroken(history.records(start, state.cycle + 1, last), state):
        if not notes:
            notes = _other_hashes(record, setup)
        again, state = _again(record, state, setup)
        if record.cycle < first:
            continue
        differences += [
            Difference(cycle=record.cycle, part=part)
            for part in COMPARED
            if encode((getattr(again, part),)) != encode((getattr(record, part),))
        ]
        compared, plans, end = compared + 1, plans + (record.plan is not None), record.cycle
    return ReplayReport(
        first=first,
        last=end,
        compared=compared,
        plans=plans,
        differences=tuple(differences),
        notes=notes,
    )


def _unbroken(records: Iterator[CycleRecord], state: CycleState) -> Iterator[CycleRecord]:
    expected = state.cycle
    for record in records:
        expected += 1
        if record.cycle != expected:
            raise HistoryError(f"cycle {expected} is missing")
        yield record


def _again(
    record: CycleRecord, state: CycleState, setup: CycleSetup
) -> tuple[CycleRecord, CycleState]:
    try:
        output = run_cycle(inputs_of(record), state, setup, _no_time, record.extra["taken"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if record.hashes.get("software") == setup.hashes.get("software"):
            raise
        raise HistoryError(
            f"cycle {record.cycle} was made by other software "
            f"({record.hashes.get('software')}), whose state does not fit this one "
            f"({setup.hashes.get('software')}): {error}"
        ) from error
    return output.record, output.state


def _no_time() -> float:
    return 0.0


def _other_hashes(record: CycleRecord, setup: CycleSetup) -> tuple[str, ...]:
    return tuple(
        f"{name} was {record.hashes.get(name)}, is {value}"
        for name, value in setup.hashes.items()
        if record.hashes.get(name) != value
    )
